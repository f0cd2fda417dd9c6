//! Accounts of one exporter: where everything it sent during a slot went.
//!
//! Each stage on the way has an account of its own, because what is counted changes from stage to
//! stage: a datagram holds sets, a set records, and a record may be no flow, one, or two.
//!
//! ```text
//! sent     = received + missing          (missing: told by sequence numbers)
//! received = kept + each cause
//! ```
//!
//! so `received + missing = kept + missing + each cause`. Of flows, `kept` is what is stored.
//!
//! ```json
//! {"number":1,"address":"192.0.2.1","version":9,"id":77,"accounts":[
//!  {"unit":"datagrams","received":812,"missing":3,"kept":811,
//!   "causes":[{"place":"network","what":"duplicates","count":1,"wanted":true}]},
//!  {"unit":"flows","received":24333,"kept":24300,
//!   "causes":[{"place":"disk","what":"not written","count":33}]}]}
//! ```

use super::Place;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr};

/// What became of all that one exporter sent during a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExporterStatement {
    /// Its number in the flow file.
    pub number: u32,
    /// Where its datagrams came from.
    pub address: IpAddr,
    /// Version of the protocol: 1, 5, 7, 9, 10 for IPFIX, 250 for nfdump's own; of sFlow as in
    /// [`record::Exporter::version`].
    pub version: u16,
    /// The id it gave itself: engine, domain or sub-agent.
    pub id: u32,
    /// From the outermost stage inwards.
    #[serde(default)]
    pub accounts: Vec<Account>,
}

impl Default for ExporterStatement {
    fn default() -> Self {
        let address = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Self { number: 0, address, version: 0, id: 0, accounts: Vec::new() }
    }
}

/// What came to one stage and where it went from there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// What is counted: [`DATAGRAMS`](Self::DATAGRAMS), [`SETS`](Self::SETS),
    /// [`RECORDS`](Self::RECORDS), [`FLOWS`](Self::FLOWS).
    pub unit: String,
    /// What came in.
    #[serde(default)]
    pub received: u64,
    /// What was sent and did not come, by the sequence numbers. What the collector's own host
    /// dropped before it could be read is among it. Below 0 where more came late than is missing
    /// from this slot: it was missing from an earlier one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub missing: i64,
    /// What went on to the next stage: of datagrams and sets those decoded, of records those that
    /// flows were made of, of flows those in the file.
    #[serde(default)]
    pub kept: u64,
    /// What came in and did not go on, by cause.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
}

/// So much did not go on for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Where it was left.
    pub place: Place,
    /// The cause, in a few words.
    pub what: String,
    /// How much.
    pub count: u64,
    /// Whether it is as it should be, and nothing is lost: what came twice, what describes other
    /// records, what a filter left out.
    #[serde(default, skip_serializing_if = "is_false")]
    pub wanted: bool,
}

const fn is_zero(n: &i64) -> bool {
    *n == 0
}

const fn is_false(b: &bool) -> bool {
    !*b
}

impl Account {
    /// Unit of the first stage: what arrives.
    pub const DATAGRAMS: &str = "datagrams";
    /// Unit of the stage that needs templates.
    pub const SETS: &str = "sets";
    /// Unit of the stage that makes flows.
    pub const RECORDS: &str = "records";
    /// Unit of the last stage: what is stored.
    pub const FLOWS: &str = "flows";

    /// An account of this unit with nothing in it.
    pub fn new(unit: &str) -> Self {
        Self { unit: unit.to_owned(), ..Self::default() }
    }

    /// Adds what was lost for one reason; nothing if that is nothing.
    #[must_use]
    pub fn lost(self, place: Place, what: &str, count: u64) -> Self {
        self.cause(place, what, count, false)
    }

    /// Adds what was left aside as it should be; nothing if that is nothing.
    #[must_use]
    pub fn left(self, place: Place, what: &str, count: u64) -> Self {
        self.cause(place, what, count, true)
    }

    fn cause(mut self, place: Place, what: &str, count: u64, wanted: bool) -> Self {
        if count > 0 {
            self.add_cause(&Cause { place, what: what.to_owned(), count, wanted });
        }
        self
    }

    fn add_cause(&mut self, cause: &Cause) {
        let same = |c: &&mut Cause| {
            c.place == cause.place && c.what == cause.what && c.wanted == cause.wanted
        };
        match self.causes.iter_mut().find(same) {
            Some(sum) => sum.count = sum.count.saturating_add(cause.count),
            None => self.causes.push(cause.clone()),
        }
    }

    /// What came in and is in no other place of the account: 0 if the account is right. Below 0 if
    /// more went out than came in.
    pub fn balance(&self) -> i128 {
        let causes: i128 = self.causes.iter().map(|c| i128::from(c.count)).sum();
        i128::from(self.received) - i128::from(self.kept) - causes
    }

    /// What is missing and what was lost, together.
    pub fn all_lost(&self) -> u64 {
        let missing = u64::try_from(self.missing).unwrap_or(0);
        self.causes.iter().filter(|c| !c.wanted).fold(missing, |n, c| n.saturating_add(c.count))
    }

    /// Adds another account of the same unit.
    pub fn merge(&mut self, other: &Self) {
        self.received = self.received.saturating_add(other.received);
        self.missing = self.missing.saturating_add(other.missing);
        self.kept = self.kept.saturating_add(other.kept);
        other.causes.iter().for_each(|c| self.add_cause(c));
    }
}

impl ExporterStatement {
    /// What does not add up: each unit whose account has something left over, and how much.
    /// Nothing if everything that came in is accounted for.
    pub fn balance(&self) -> impl Iterator<Item = (&str, i128)> {
        self.accounts.iter().map(|a| (&*a.unit, a.balance())).filter(|(_, left)| *left != 0)
    }

    /// Whether everything that came in is accounted for.
    pub fn is_balanced(&self) -> bool {
        self.balance().next().is_none()
    }

    /// The account of a unit.
    pub fn account(&self, unit: &str) -> Option<&Account> {
        self.accounts.iter().find(|a| a.unit == unit)
    }

    /// Adds the accounts of another slot of the same exporter.
    pub fn merge(&mut self, other: &Self) {
        for account in &other.accounts {
            match self.accounts.iter_mut().find(|a| a.unit == account.unit) {
                Some(sum) => sum.merge(account),
                None => self.accounts.push(account.clone()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::Statement;

    fn exporter() -> ExporterStatement {
        let datagrams =
            Account { received: 812, missing: 3, kept: 811, ..Account::new("datagrams") }
                .left(Place::Network, "duplicates", 1)
                .lost(Place::Exporter, "bad messages", 0);
        let flows = Account { received: 24_333, kept: 24_300, ..Account::new(Account::FLOWS) }
            .lost(Place::Disk, "not written", 30)
            .lost(Place::Disk, "not written", 3);
        ExporterStatement {
            number: 1,
            address: "192.0.2.1".parse().unwrap(),
            version: 9,
            id: 77,
            accounts: vec![datagrams, flows],
        }
    }

    /// The lines of the module's text.
    const TEXT: &str = concat!(
        r#"{"number":1,"address":"192.0.2.1","version":9,"id":77,"accounts":["#,
        r#"{"unit":"datagrams","received":812,"missing":3,"kept":811,"#,
        r#""causes":[{"place":"network","what":"duplicates","count":1,"wanted":true}]},"#,
        r#"{"unit":"flows","received":24333,"kept":24300,"#,
        r#""causes":[{"place":"disk","what":"not written","count":33}]}]}"#
    );

    #[test]
    fn the_example_is_what_is_written_and_read() {
        assert_eq!(serde_json::to_string(&exporter()).unwrap(), TEXT);
        assert_eq!(serde_json::from_str::<ExporterStatement>(TEXT).unwrap(), exporter());
        let short = r#"{"number":1,"address":"2001:db8::1","version":10,"id":0}"#;
        assert!(serde_json::from_str::<ExporterStatement>(short).unwrap().accounts.is_empty());
    }

    #[test]
    fn statements_without_exporters_still_read() {
        let old = r#"{"file":"f","ident":"i","from":300,"until":600,"received":8,"stored":2}"#;
        let statement: Statement = serde_json::from_str(old).unwrap();
        assert!(statement.exporters.is_empty() && statement.losses.is_empty());
        assert!(!serde_json::to_string(&statement).unwrap().contains("exporters"));
    }

    #[test]
    fn balance_tells_the_unit_and_what_is_left_over() {
        let right = exporter();
        assert!(right.is_balanced());
        assert_eq!(right.account("flows").unwrap().all_lost(), 33);
        assert_eq!(right.account("datagrams").unwrap().all_lost(), 3, "duplicates are not lost");
        for (change, left) in [(-1, -1), (1, 1)] {
            let mut wrong = exporter();
            let received = &mut wrong.accounts[1].received;
            *received = received.checked_add_signed(change).unwrap();
            assert_eq!(wrong.balance().collect::<Vec<_>>(), [("flows", left)]);
        }
        let mut late = exporter();
        late.accounts[0].missing = -2;
        assert!(late.is_balanced());
        assert_eq!(late.accounts[0].all_lost(), 0);
    }

    #[test]
    fn accounts_of_slots_add_up_and_stay_balanced() {
        let mut sum = exporter();
        let mut other = exporter();
        other.accounts.truncate(1);
        other.accounts.push(Account { received: 2, kept: 1, ..Account::new("sets") }.lost(
            Place::Exporter,
            "without template",
            1,
        ));
        sum.merge(&other);
        assert!(sum.is_balanced());
        let numbers: Vec<_> =
            sum.accounts.iter().map(|a| (&*a.unit, a.received, a.missing, a.all_lost())).collect();
        assert_eq!(
            numbers,
            [("datagrams", 1624, 6, 6), ("flows", 24_333, 0, 33), ("sets", 2, 0, 1)]
        );
        let mut huge = Account { received: u64::MAX, ..Account::new("flows") };
        huge.merge(&huge.clone());
        assert_eq!(huge.balance(), i128::from(u64::MAX));
    }
}
