//! One file after the other.

use super::inputs::Job;
use super::rules;
use crate::args::flowanon::{Args, Keep};
use crate::cmd::outside;
use anon::{Anonymiser, Counts, Policy, Rule};
use record::{Field, Rows};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use store::{
    BlockReader, Creator, FlowFile, MetaRecord, NotKept, ReadOptions, StoreError, Transform,
    TransformOptions,
};

/// Flag of a record that was anonymised (file format, section 6.1).
const ANONYMISED: u64 = 4;

/// What is done to each file.
pub(super) struct Work {
    rule: Arc<Rule>,
    policy: Policy,
    read: ReadOptions,
    options: TransformOptions,
    /// Whether files that are anonymised are anonymised again.
    again: bool,
}

/// What became of a file.
pub(super) enum Done {
    /// It is anonymised.
    Made { rows: u64, counts: Counts, names: u64, not_kept: NotKept, is_opened: bool },
    /// It was already.
    Already,
    /// A part of it was, so it was left alone.
    Partly,
}

/// What a thread has.
pub(super) struct Worker {
    anonymiser: Anonymiser,
    policy: Policy,
    /// Names that were left out.
    names: u64,
}

impl Work {
    pub(super) fn new(name: &str, args: &Args) -> anyhow::Result<Self> {
        let rule = Arc::new(rules::rule(name, args)?);
        let key = args.passphrase.as_deref().map(outside::passphrase).transpose()?;
        let ident = (!args.keep.contains(&Keep::Ident)).then(|| "none".to_owned());
        Ok(Self {
            rule,
            policy: rules::policy(args),
            read: ReadOptions { key },
            options: TransformOptions { ident, creator: Creator::NFANON, packing: None },
            again: args.again,
        })
    }

    /// The ident of all files, if it is one.
    pub(super) fn ident(&self) -> Option<&str> {
        self.options.ident.as_deref()
    }

    pub(super) fn workers(&self, threads: usize) -> Vec<Worker> {
        let worker = |_| Worker {
            anonymiser: Anonymiser::new(Arc::clone(&self.rule), self.policy),
            policy: self.policy,
            names: 0,
        };
        (0..threads).map(worker).collect()
    }

    /// Anonymises one file.
    pub(super) fn file(
        &self,
        job: &Job,
        workers: &mut [Worker],
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Done, StoreError> {
        for worker in &mut *workers {
            // What is left of a file that failed.
            worker.take();
        }
        let file = FlowFile::open_with(&job.from, &self.read)?;
        if !self.again
            && let Some(done) = looked_at(&file)
        {
            return Ok(done);
        }
        let to = job.to.as_deref();
        let made = store::transform(&file, to, workers, &self.options, goes_on)?;
        let (mut counts, mut names) = (Counts::default(), 0);
        for worker in workers {
            let (its_counts, its_names) = worker.take();
            counts.add(&its_counts);
            names += its_names;
        }
        if counts.again > 0 && !self.again {
            return Ok(if counts.again == counts.rows { Done::Already } else { Done::Partly });
        }
        let is_opened = file.header().encrypted;
        let (rows, not_kept) = (made.rows, made.not_kept);
        made.finish()?;
        Ok(Done::Made { rows, counts, names, not_kept, is_opened })
    }
}

/// Whether a file is anonymised already, as far as its header and its first flow say so; then all
/// flows are looked at.
fn looked_at(file: &FlowFile) -> Option<Done> {
    let (mut all, mut flagged) = (0u64, 0u64);
    let mut reader = BlockReader::new();
    for n in 0..file.blocks().len() {
        let Ok(block) = reader.load(file, n) else { return None }; // told when it is worked on
        for row in block.rows.iter() {
            all += 1;
            flagged += row.number(Field::RecordFlags) / ANONYMISED % 2;
            if flagged == 0 {
                return None;
            }
        }
    }
    match all {
        0 => (file.header().creator == Creator::NFANON).then_some(Done::Already),
        _ if flagged == all => Some(Done::Already),
        _ => Some(Done::Partly),
    }
}

impl Worker {
    fn take(&mut self) -> (Counts, u64) {
        (self.anonymiser.take_counts(), std::mem::take(&mut self.names))
    }
}

impl Transform for Worker {
    #[inline]
    fn row<'a>(&'a mut self, rows: &Rows<'a>, n: usize) -> Option<store::Made<'a>> {
        Some(match self.anonymiser.row(rows, n)? {
            anon::Made::Row(row) => store::Made::Row(row),
            anon::Made::Flow(flow) => store::Made::Flow(flow),
        })
    }

    fn meta(&mut self, record: &MetaRecord) -> Option<MetaRecord> {
        match record {
            MetaRecord::Exporter(e) => Some(MetaRecord::Exporter(self.anonymiser.exporter(e))),
            MetaRecord::Name { .. } | MetaRecord::Application { .. } => {
                self.names += u64::from(!self.policy.keeps_names);
                self.policy.keeps_names.then(|| record.clone())
            }
            MetaRecord::Sampler(_) | MetaRecord::Stats(_) => Some(record.clone()),
        }
    }
}

/// What became of all files.
#[derive(Default)]
pub(super) struct Sums {
    files: u64,
    rows: u64,
    counts: Counts,
    names: u64,
    already: u64,
    /// Encrypted files that are in the clear now.
    opened: u64,
    pub(super) not_kept: NotKept,
    pub(super) failed: u64,
    /// Files that are not where they were to be written.
    pub(super) left_out: u64,
    /// Files of the input that have no original addresses in them now.
    pub(super) clean: Vec<PathBuf>,
}

impl Sums {
    pub(super) fn add(&mut self, job: &Job, done: Result<Done, StoreError>) {
        match done {
            Ok(Done::Made { rows, counts, names, not_kept, is_opened }) => {
                self.files += 1;
                self.rows += rows;
                self.counts.add(&counts);
                self.names += names;
                self.not_kept.merge(&not_kept);
                self.not_kept.values += counts.cut;
                self.opened += u64::from(is_opened);
            }
            Ok(Done::Already) => {
                self.already += 1;
                self.left_out += u64::from(job.to.is_some());
            }
            Ok(Done::Partly) | Err(_) => {
                self.failed += 1;
                return;
            }
        }
        if job.to.is_none() {
            self.clean.push(job.from.clone());
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.files += other.files;
        self.rows += other.rows;
        self.counts.add(&other.counts);
        self.names += other.names;
        self.already += other.already;
        self.opened += other.opened;
        self.not_kept.merge(&other.not_kept);
        self.failed += other.failed;
        self.left_out += other.left_out;
        self.clean.extend(other.clean);
    }

    /// What was left out on purpose, and how it is kept.
    pub(super) fn left_out_text(&self) -> Option<String> {
        let all = [
            (self.counts.payloads, "payloads", "payload"),
            (self.counts.users, "names or numbers of users", "users"),
            (self.counts.labels, "labels", "labels"),
            (self.names + self.counts.names, "names of interfaces, VRFs or applications", "names"),
        ];
        let there = || all.iter().filter(|(n, ..)| *n > 0);
        let what: Vec<String> = there().map(|(n, what, _)| format!("{n} {what}")).collect();
        let words: Vec<&str> = there().map(|(.., word)| *word).collect();
        (!what.is_empty())
            .then(|| format!("left out: {} (--keep {})", what.join(", "), words.join(",")))
    }
}

impl fmt::Display for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} files with {} flows anonymised", self.files, self.rows)?;
        for (n, what) in [
            (self.already, "anonymised already"),
            (self.failed, "left alone"),
            (self.opened, "were encrypted and are no more"),
        ] {
            if n > 0 {
                write!(f, ", {n} {what}")?;
            }
        }
        Ok(())
    }
}
