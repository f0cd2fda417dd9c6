//! What statistics are asked for: `-s ELEMENT[:p][/ORDER[:a|:d]]...`, where an order may also be
//! `distinct:FIELD[:a|:d]`.

use crate::element::{Element, Grouping, single_field};
use crate::key::KeySpec;
use output::{Counts, Order};

/// An order and its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sorting {
    /// What is compared.
    pub order: Order,
    /// Largest first.
    pub descending: bool,
}

impl Sorting {
    /// Reads `-O ORDER[:a|:d]`. Times start with the smallest, all else with the largest.
    pub fn parse(text: &str) -> Result<Self, RequestError> {
        let (name, direction) = split_direction(text);
        let unknown = || RequestError::UnknownPrintOrder(name.to_owned());
        let order = Order::from_flow_name(name).ok_or_else(unknown)?;
        Ok(Self { order, descending: is_descending(direction, !order.ascends_by_default())? })
    }
}

impl Sorting {
    /// What is compared, turned so that the smallest comes first.
    #[inline]
    pub(crate) fn rank(self, counts: &Counts) -> u64 {
        let value = self.order.value(counts);
        if self.descending { !value } else { value }
    }
}

/// One `-s`.
#[derive(Clone, Debug)]
pub struct Request {
    /// What is counted.
    pub by: By,
    /// One table each, in the order in which they are printed.
    pub sortings: Vec<Sorting>,
    /// Fields whose different values are counted for each value, one table each, behind those of
    /// `sortings`. A request that has any is answered by
    /// [`Query::distinct`](crate::Query::distinct).
    pub distinct: Vec<Distinct>,
}

/// A field whose different values are counted: `distinct:FIELD`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distinct {
    /// Name of the field, as of an element of `-s` or a field of `-A`.
    pub name: &'static str,
    /// Heading of the field.
    pub title: &'static str,
    /// Most values first.
    pub descending: bool,
    pub(crate) key: KeySpec,
}

/// What a statistic counts.
#[derive(Clone, Debug)]
pub enum By {
    /// Values of one field or a few.
    Element {
        /// Which.
        element: &'static Element,
        /// Every value apart by protocol.
        by_proto: bool,
    },
    /// Whole flows, joined by a key.
    Flows(Grouping),
}

impl By {
    /// The keys that a flow counts under, one or several.
    pub fn keys(&self) -> Vec<KeySpec> {
        match self {
            Self::Element { element, by_proto } => element.keys(*by_proto),
            Self::Flows(grouping) => vec![grouping.key.clone()],
        }
    }

    /// Bits (`field as usize`) of the fields that are read to count by it.
    pub fn fields(&self) -> u128 {
        let keys = self.keys().iter().fold(0, |bits, key| bits | key.fields());
        keys | match self {
            Self::Element { .. } => 0,
            Self::Flows(grouping) => grouping.fields(),
        }
    }

    /// Whether values are looked up in a database of countries.
    pub fn needs_countries(&self) -> bool {
        match self {
            Self::Element { element, .. } => element.needs_countries(),
            Self::Flows(grouping) => grouping.needs_countries(),
        }
    }

    /// Whether values are looked up in a database of autonomous systems.
    pub fn needs_systems(&self) -> bool {
        match self {
            Self::Element { element, .. } => element.needs_systems(),
            Self::Flows(grouping) => grouping.needs_systems(),
        }
    }
}

/// What is wrong with a statistic or an order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Not an element.
    #[error("Unknown statistic: {name}{}; known are: record {list}", did_you_mean(*.similar), list = element_names())]
    UnknownElement {
        /// The word.
        name: String,
        /// An element that is spelt much alike.
        similar: Option<&'static str>,
    },
    /// Something else than `p` after a colon.
    #[error("Unknown statistic option :{option} in {element}; :p splits by protocol")]
    UnknownOption {
        /// What stands there.
        option: String,
        /// Behind which element.
        element: String,
    },
    /// Not an order of statistics.
    #[error("Unknown order option /{0}; known are: {list}", list = statistic_orders())]
    UnknownOrder(String),
    /// Not an order of flows.
    #[error("Unknown print order '{0}'; known are: {list}", list = flow_orders())]
    UnknownPrintOrder(String),
    /// Not a field that different values of can be counted.
    #[error(
        "Unknown field in distinct:{name}{}; write the name of an element of one field (srcip, dstport) or of a field of -A",
        did_you_mean(*.similar)
    )]
    UnknownDistinct {
        /// The word behind `distinct:`.
        name: String,
        /// A field that is spelt much alike.
        similar: Option<&'static str>,
    },
    /// More fields than one statistic counts.
    #[error("More than {MAX_DISTINCT} distinct fields in one statistic")]
    TooManyDistinct,
    /// Not a direction.
    #[error("Invalid direction {0}. Use a for ascending or d for descending")]
    Direction(String),
}

impl Request {
    /// Bits (`field as usize`) of the fields that are read to count what is asked for.
    pub fn fields(&self) -> u128 {
        self.distinct.iter().fold(self.by.fields(), |bits, d| bits | d.key.fields())
    }

    /// Reads one `-s`. `grouping` is the key of `record`; `default` is used where the text names
    /// no order, and is flows when the user named none at all.
    pub fn parse(
        text: &str,
        grouping: &Grouping,
        default: Option<Sorting>,
    ) -> Result<Self, RequestError> {
        let mut words = text.split('/');
        let by = parse_element(words.next().unwrap_or(""), grouping)?;
        let is_flows = matches!(by, By::Flows(_));
        let (mut sortings, mut distinct) = (Vec::new(), Vec::<Distinct>::new());
        for word in words {
            match word.get(..9).filter(|w| w.eq_ignore_ascii_case("distinct:")) {
                None => sortings.push(parse_order(word, is_flows)?),
                Some(head) => {
                    let one = parse_distinct(&word[head.len()..])?;
                    distinct.retain(|d| d.name != one.name);
                    distinct.push(one);
                }
            }
        }
        if distinct.len() > MAX_DISTINCT {
            return Err(RequestError::TooManyDistinct);
        }
        if sortings.is_empty() && distinct.is_empty() {
            let usable = |s: &Sorting| is_flows || !s.order.statistic_name().is_empty();
            let flows = Sorting { order: Order::FLOWS, descending: true };
            sortings.push(default.filter(usable).unwrap_or(flows));
        }
        let place = |s: &Sorting| Order::of_flows().position(|o| o == s.order);
        sortings.sort_by_key(place);
        sortings.dedup();
        Ok(Self { by, sortings, distinct })
    }
}

fn parse_element(word: &str, grouping: &Grouping) -> Result<By, RequestError> {
    let (name, option) = match word.split_once(':') {
        Some((name, option)) => (name, Some(option)),
        None => (word, None),
    };
    let by_proto = match option {
        None => false,
        Some(p) if p.eq_ignore_ascii_case("p") => true,
        Some(other) => {
            let (option, element) = (other.to_owned(), name.to_owned());
            return Err(RequestError::UnknownOption { option, element });
        }
    };
    if name.eq_ignore_ascii_case("record") {
        return Ok(By::Flows(grouping.clone()));
    }
    match Element::named(name) {
        Some(element) => Ok(By::Element { element, by_proto }),
        None => {
            let similar = Element::similar(name);
            Err(RequestError::UnknownElement { name: name.to_owned(), similar })
        }
    }
}

/// Fields that one statistic counts the values of.
const MAX_DISTINCT: usize = 8;

/// What stands behind `distinct:`.
fn parse_distinct(word: &str) -> Result<Distinct, RequestError> {
    let (name, direction) = split_direction(word);
    let Some((name, title, key)) = single_field(name) else {
        let similar = Element::similar(name).filter(|s| single_field(s).is_some());
        return Err(RequestError::UnknownDistinct { name: name.to_owned(), similar });
    };
    Ok(Distinct { name, title, key, descending: is_descending(direction, true)? })
}

fn did_you_mean(similar: Option<&'static str>) -> String {
    similar.map(|s| format!(", did you mean '{s}'?")).unwrap_or_default()
}

/// An order of a statistic. `record` always starts with the largest, whatever is compared.
fn parse_order(word: &str, is_flows: bool) -> Result<Sorting, RequestError> {
    let (name, direction) = split_direction(word);
    // The two spellings differ for in and out packets and bytes; both are understood everywhere.
    let order = if is_flows {
        Order::from_flow_name(name).or_else(|| Order::from_statistic_name(name))
    } else {
        Order::from_statistic_name(name)
            .or_else(|| Order::from_flow_name(name).filter(|o| !o.statistic_name().is_empty()))
    };
    let order = order.ok_or_else(|| RequestError::UnknownOrder(name.to_owned()))?;
    Ok(Sorting { order, descending: is_descending(direction, true)? })
}

fn split_direction(text: &str) -> (&str, Option<&str>) {
    match text.split_once(':') {
        Some((name, direction)) => (name, Some(direction)),
        None => (text, None),
    }
}

fn is_descending(direction: Option<&str>, default: bool) -> Result<bool, RequestError> {
    match direction {
        None => Ok(default),
        Some("a" | "A") => Ok(false),
        Some("d" | "D") => Ok(true),
        Some(other) => Err(RequestError::Direction(other.to_owned())),
    }
}

fn element_names() -> String {
    Element::all().iter().map(|e| e.name).collect::<Vec<_>>().join(" ")
}

fn statistic_orders() -> String {
    Order::of_statistics().map(Order::statistic_name).collect::<Vec<_>>().join(" ")
}

fn flow_orders() -> String {
    Order::of_flows().map(Order::flow_name).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Element, and orders with whether they descend.
    type Read = (String, Vec<(&'static str, bool)>);

    fn read(text: &str) -> Result<Read, RequestError> {
        let r = Request::parse(text, &Grouping::five_tuple(), None)?;
        let name = match r.by {
            By::Element { element, by_proto } => {
                format!("{}{}", element.name, if by_proto { ":p" } else { "" })
            }
            By::Flows(_) => "record".to_owned(),
        };
        Ok((name, r.sortings.iter().map(|s| (s.order.flow_name(), s.descending)).collect()))
    }

    #[test]
    fn statistics_are_read() {
        for (text, name, sortings) in [
            ("srcip", "srcip", vec![("flows", true)]),
            ("SRCIP:P/Bytes", "srcip:p", vec![("bytes", true)]),
            ("dstip/bytes/flows", "dstip", vec![("flows", true), ("bytes", true)]),
            ("port/ipkg:a", "port", vec![("ipackets", false)]),
            ("record/tstart", "record", vec![("tstart", true)]),
            ("record/bps:a/bps:a", "record", vec![("bps", false)]),
            ("any", "any", vec![("flows", true)]),
        ] {
            assert_eq!(read(text), Ok((name.to_owned(), sortings)), "{text}");
        }
    }

    #[test]
    fn distinct_fields_are_read() {
        let distinct = |text| {
            let r = Request::parse(text, &Grouping::five_tuple(), None).unwrap();
            let fields: Vec<_> = r.distinct.iter().map(|d| (d.name, d.descending)).collect();
            (r.sortings.len(), fields)
        };
        assert_eq!(distinct("srcip/distinct:dstip"), (0, vec![("dstip", true)]));
        assert_eq!(
            distinct("any:p/bytes/DISTINCT:SrcIP:a/distinct:exp"),
            (1, vec![("srcip", false), ("exp", true)])
        );
        assert_eq!(distinct("srcip"), (1, vec![]));
    }

    #[test]
    fn what_needs_a_database_says_so() {
        let five = Grouping::five_tuple();
        let needs = |text: &str, grouping: &Grouping| {
            let by = Request::parse(text, grouping, None).unwrap().by;
            (by.needs_countries(), by.needs_systems())
        };
        assert_eq!(needs("geo", &five), (true, false));
        assert_eq!(needs("asn", &five), (false, true));
        assert_eq!(needs("srcas", &five), (false, false), "systems are named by exporters, too");
        assert_eq!(needs("record", &five), (false, false));
        let grouping = Grouping::parse("srcasn,dstgeo").unwrap();
        assert_eq!(needs("record", &grouping), (true, true));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, message) in [
            ("zebra", "Unknown statistic: zebra"),
            ("", "Unknown statistic: "),
            ("scrip", "Unknown statistic: scrip; known"),
            ("ja4s", "Unknown statistic: ja4s, did you mean 'ja4'?"),
            ("srcipp", "Unknown statistic: srcipp, did you mean 'srcip'?"),
            ("srcip/distinct:ip", "Unknown field in distinct:ip; write"),
            ("srcip/distinct:dstipp", "Unknown field in distinct:dstipp, did you mean 'dstip'?"),
            ("srcip/distinct:any", "Unknown field in distinct:any; write"),
            ("srcip/distinct:srcnet", "Unknown field in distinct:srcnet; write"),
            ("srcip/distinct:dstip:x", "Invalid direction x."),
            ("srcip:x", "Unknown statistic option :x in srcip"),
            ("srcip/tstart", "Unknown order option /tstart"),
            ("srcip/bytes:x", "Invalid direction x."),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.starts_with(message), "{text}: {error}");
        }
        assert!(
            Sorting::parse("x").unwrap_err().to_string().starts_with("Unknown print order 'x'")
        );
    }

    #[test]
    fn the_order_of_the_whole_run_is_the_default() {
        let by = |text| Sorting::parse(text).ok();
        let order = |text, default| {
            let r = Request::parse(text, &Grouping::five_tuple(), default).unwrap();
            r.sortings[0].order.flow_name()
        };
        assert_eq!(order("srcip", by("bytes")), "bytes");
        assert_eq!(order("srcip/packets", by("bytes")), "packets");
        assert_eq!(order("srcip", by("tstart")), "flows", "statistics have no such order");
        assert_eq!(order("record", by("tstart")), "tstart");
        assert!(!by("tstart").unwrap().descending);
        assert!(by("tstart:d").unwrap().descending);
    }
}
