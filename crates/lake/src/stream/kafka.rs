//! Kafka: a message for each flow, as goflow2 sends it.
//!
//! The producer is idempotent: what it sends again, because an answer was lost, brokers recognise. It
//! does not outlive the process. So without transactions the batch that was on its way in a crash is
//! sent twice, all or in part (at least once). With them each batch is one transaction, and its id is
//! committed within it, as the offset of a consumer group of its own: whoever comes after a crash ends
//! what the dead one had begun, and reads there whether the batch counts (exactly once, for consumers
//! that read committed messages only).

use super::goflow::{Encoder, Framing};
use super::{Batch, Delivered, Encode, Encoded, Message, Origin, Patience, Sink, SinkError};
use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use record::{Addr, Field, Row};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What flows of the same partition have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Key {
    /// Nothing: brokers share the work evenly.
    #[default]
    None,
    /// The source address.
    Source,
    /// The destination address.
    Destination,
    /// Both addresses, whichever way: both directions of a conversation.
    Pair,
    /// The exporter.
    Exporter,
}

impl Key {
    fn of(self, row: Row<'_>, of: &Origin<'_>) -> Option<u64> {
        let number = |addr: Option<Addr>| match addr {
            None => 0,
            Some(Addr::V4(n)) => u64::from(n),
            Some(Addr::V6(n)) => (n >> 64) as u64 ^ (n as u64).rotate_left(29),
        };
        let (src, dst) = (row.addr(Field::SrcAddr), row.addr(Field::DstAddr));
        Some(match self {
            Self::None => return None,
            Self::Source => number(src),
            Self::Destination => number(dst),
            Self::Pair => number(src.min(dst)).rotate_left(17) ^ number(src.max(dst)),
            Self::Exporter => number(of.exporters.of(row)),
        })
    }
}

/// Encodes messages.
#[derive(Debug)]
pub struct Messages {
    encoder: Encoder,
    key: Key,
}

impl Messages {
    /// With this around them, and keys of this.
    pub fn new(framing: Framing, key: Key) -> Self {
        Self { encoder: Encoder::new(framing), key }
    }
}

impl Encode for Messages {
    fn row(&mut self, row: Row<'_>, of: &Origin<'_>, out: &mut Encoded) {
        self.encoder.push(row, of.exporters, &mut out.octets);
        out.messages.push(Message { end: out.octets.len(), key: self.key.of(row, of) });
    }
}

/// Where messages go, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `HOST:PORT`, several between commas.
    pub brokers: String,
    /// The topic.
    pub topic: String,
    /// Each batch is a transaction of this `transactional.id`.
    pub transactional_id: Option<String>,
    /// Flows are dropped, and counted, when the queue is full; otherwise they wait.
    pub drop_when_full: bool,
    /// Properties of librdkafka that are set last.
    pub properties: Vec<(String, String)>,
}

/// An address that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}': Kafka is named as HOST:PORT[,HOST:PORT...]/TOPIC")]
pub struct BadAddress(String);

impl Settings {
    /// Reads `HOST:PORT[,HOST:PORT...]/TOPIC`.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(text: &str) -> Result<Self, BadAddress> {
        let bad = || BadAddress(text.to_owned());
        let (brokers, topic) = text.split_once('/').ok_or_else(bad)?;
        let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let is_topic = (1..=249).contains(&topic.len()) && topic.chars().all(is_legal);
        if !is_topic || brokers.split(',').any(str::is_empty) {
            return Err(bad());
        }
        Ok(Self { brokers: brokers.to_owned(), topic: topic.to_owned(), ..Self::default() })
    }
}

impl Settings {
    /// What properties ask for that this build does not have.
    fn missing(&self) -> Option<&'static str> {
        let is_tls = |(name, value): &(String, String)| {
            let value = value.to_ascii_lowercase();
            match name.as_str() {
                "security.protocol" => value.ends_with("ssl"),
                "sasl.mechanism" | "sasl.mechanisms" => {
                    value.starts_with("scram") || value == "oauthbearer"
                }
                name => name.starts_with("ssl."),
            }
        };
        if !cfg!(feature = "kafka-tls") && self.properties.iter().any(is_tls) {
            return Some(
                "TLS, SCRAM and OAUTHBEARER need OpenSSL: build flowlake with the feature kafka-tls",
            );
        }
        None
    }
}

/// Counts what became of messages.
#[derive(Debug, Default)]
struct Reports {
    delivered: AtomicU64,
    failed: AtomicU64,
    reason: Mutex<String>,
}

/// What librdkafka tells.
struct Listener(Arc<Reports>);

impl ClientContext for Listener {
    // What is not worth an answer is not worth a line: errors come with deliveries.
    fn log(&self, _: rdkafka::config::RDKafkaLogLevel, _: &str, _: &str) {}

    fn error(&self, error: KafkaError, reason: &str) {
        *lock(&self.0.reason) = format!("{error}: {reason}");
    }
}

impl ProducerContext for Listener {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => self.0.delivered.fetch_add(1, Relaxed),
            Err((error, message)) => {
                *lock(&self.0.reason) = format!("topic {}: {error}", message.topic());
                self.0.failed.fetch_add(1, Relaxed)
            }
        };
    }
}

/// A topic that batches go to.
pub struct Topic<'o> {
    settings: Settings,
    producer: BaseProducer<Listener>,
    reports: Arc<Reports>,
    /// Of the group whose offset is the id of the last batch.
    ledger: Option<BaseConsumer>,
    has_begun: bool,
    stop: &'o AtomicBool,
    patience: Option<Duration>,
}

impl std::fmt::Debug for Topic<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Topic").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// How long one question to a broker may take.
const LIMIT: Duration = Duration::from_secs(30);
/// How long a look at what happened takes at most.
const STEP: Duration = Duration::from_millis(100);
/// Steps that are waited for acknowledgements after the run was told to stop.
const LAST_STEPS: u32 = 50;
/// Messages between two looks at what was delivered.
const LOOK_EVERY: usize = 1024;

impl<'o> Topic<'o> {
    /// A topic; nothing is connected yet. Brokers that cannot be reached are waited for, `patience`
    /// long or for ever; setting `stop` ends the waiting.
    ///
    /// # Errors
    /// If librdkafka does not know a property.
    pub fn new(
        settings: Settings,
        stop: &'o AtomicBool,
        patience: Option<Duration>,
    ) -> Result<Self, SinkError> {
        let refused = |e: KafkaError| SinkError::Refused {
            target: format!("kafka:{}", settings.brokers),
            reason: e.to_string(),
        };
        if let Some(reason) = settings.missing() {
            let target = format!("kafka:{}", settings.brokers);
            return Err(SinkError::Refused { target, reason: reason.to_owned() });
        }
        let reports = Arc::<Reports>::default();
        let listener = Listener(Arc::clone(&reports));
        let producer = producer_config(&settings, patience)
            .create_with_context::<_, BaseProducer<Listener>>(listener)
            .map_err(refused)?;
        let ledger = match &settings.transactional_id {
            Some(id) => Some(ledger_config(&settings, id).create().map_err(refused)?),
            None => None,
        };
        Ok(Self { settings, producer, reports, ledger, has_begun: false, stop, patience })
    }

    fn target(&self) -> String {
        format!("kafka:{}/{}", self.settings.brokers, self.settings.topic)
    }

    fn error(&self, what: &str, e: &KafkaError) -> SinkError {
        SinkError::Refused { target: self.target(), reason: format!("{what}: {e}") }
    }

    /// Hands all messages of a batch to the producer, and waits until each is acknowledged. Returns
    /// how many were dropped.
    fn send(&self, batch: &Batch) -> Result<u64, SinkError> {
        let failed_before = self.reports.failed.load(Relaxed);
        let (mut start, mut dropped) = (0, 0);
        for (n, message) in batch.encoded.messages.iter().enumerate() {
            let octets = batch.encoded.octets.get(start..message.end).unwrap_or_default();
            start = message.end;
            if !self.queue(octets, message.key)? {
                dropped += 1;
            }
            if n % LOOK_EVERY == 0 {
                self.producer.poll(Duration::ZERO);
            }
        }
        self.wait_for_all()?;
        match self.reports.failed.load(Relaxed) - failed_before {
            0 => Ok(dropped),
            failed => Err(SinkError::Unreachable {
                target: self.target(),
                reason: format!("{failed} messages: {}", self.reason()),
                tries: 1,
            }),
        }
    }

    fn reason(&self) -> String {
        lock(&self.reports.reason).clone()
    }

    /// Puts a message into the queue; false if there was no room and it may be dropped.
    fn queue(&self, octets: &[u8], key: Option<u64>) -> Result<bool, SinkError> {
        let key = key.map(u64::to_be_bytes);
        loop {
            let mut record = BaseRecord::<[u8], [u8]>::to(&self.settings.topic).payload(octets);
            if let Some(key) = &key {
                record = record.key(key.as_slice());
            }
            match self.producer.send(record) {
                Ok(()) => return Ok(true),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    if self.settings.drop_when_full {
                        self.producer.poll(Duration::ZERO);
                        return Ok(false);
                    }
                    if self.stop.load(Relaxed) {
                        return Err(SinkError::Stopped);
                    }
                    self.producer.poll(STEP);
                }
                Err((e, _)) => return Err(self.error("cannot send", &e)),
            }
        }
    }

    fn wait_for_all(&self) -> Result<(), SinkError> {
        let mut steps_left = LAST_STEPS;
        while self.producer.in_flight_count() > 0 {
            // Messages that linger go at once.
            match self.producer.flush(STEP) {
                Ok(()) => {}
                Err(e) if e.rdkafka_error_code() == Some(RDKafkaErrorCode::OperationTimedOut) => {}
                Err(e) => return Err(self.error("cannot send", &e)),
            }
            if let Some((code, reason)) = self.producer.client().fatal_error() {
                let reason = format!("{code}: {reason}");
                return Err(SinkError::Refused { target: self.target(), reason });
            }
            if self.stop.load(Relaxed) {
                steps_left = steps_left.checked_sub(1).ok_or(SinkError::Stopped)?;
            }
        }
        Ok(())
    }

    /// Takes the place of whoever had this id before, and ends what it had begun.
    fn begin(&mut self) -> Result<(), SinkError> {
        let mut patience = Patience::new(self.stop, self.patience);
        while !self.has_begun {
            match self.producer.init_transactions(LIMIT) {
                Ok(()) => self.has_begun = true,
                Err(e) if is_later(&e) => patience.wait(&self.target(), &e.to_string())?,
                Err(e) => return Err(self.error("cannot begin transactions", &e)),
            }
        }
        Ok(())
    }

    /// Sends a batch and its id in one transaction. `Ok(None)`: nothing of it counts; try again.
    fn transact(&self, batch: &Batch, ledger: &BaseConsumer) -> Result<Option<u64>, SinkError> {
        let begun = self.producer.begin_transaction();
        begun.map_err(|e| self.error("cannot begin a transaction", &e))?;
        let result = self.send(batch).and_then(|dropped| {
            let committed = self.commit(mark(batch), ledger);
            committed.map(|()| dropped).map_err(|e| match &e {
                e if is_later(e) || needs_abort(e) => SinkError::Unreachable {
                    target: self.target(),
                    reason: e.to_string(),
                    tries: 1,
                },
                e => self.error("cannot commit", e),
            })
        });
        match result {
            Ok(dropped) => Ok(Some(dropped)),
            Err(SinkError::Unreachable { reason, .. }) => {
                let aborted = self.producer.abort_transaction(LIMIT);
                aborted.map_err(|e| self.error(&format!("{reason}; cannot abort"), &e))?;
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    fn commit(&self, mark: i64, ledger: &BaseConsumer) -> Result<(), KafkaError> {
        let group = ledger.group_metadata().ok_or(KafkaError::Canceled)?;
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(&self.settings.topic, 0, Offset::Offset(mark))?;
        self.producer.send_offsets_to_transaction(&offsets, &group, LIMIT)?;
        let mut patience = Patience::new(self.stop, self.patience);
        loop {
            match self.producer.commit_transaction(LIMIT) {
                // It goes on where it was.
                Err(e) if is_later(&e) && patience.wait(&self.target(), "").is_ok() => {}
                result => return result,
            }
        }
    }

    /// What says which batch is the last that counts; `None`: there is none yet.
    fn committed(&self, ledger: &BaseConsumer) -> Result<Option<i64>, SinkError> {
        let mut patience = Patience::new(self.stop, self.patience);
        let mut asked = TopicPartitionList::new();
        asked.add_partition(&self.settings.topic, 0);
        loop {
            match ledger.committed_offsets(asked.clone(), LIMIT) {
                Ok(list) => {
                    let found = list.find_partition(&self.settings.topic, 0).map(|p| p.offset());
                    return Ok(match found {
                        Some(Offset::Offset(mark)) => Some(mark),
                        _ => None,
                    });
                }
                Err(e) => patience.wait(&self.target(), &e.to_string())?,
            }
        }
    }

    fn deliver_once(&mut self, batch: &Batch, in_doubt: bool) -> Result<Delivered, SinkError> {
        self.begin()?;
        let Some(ledger) = &self.ledger else { return Ok(Delivered::default()) };
        if in_doubt && self.committed(ledger)? == Some(mark(batch)) {
            return Ok(Delivered { was_there: true, ..Delivered::default() });
        }
        let mut patience = Patience::new(self.stop, self.patience);
        loop {
            if let Some(dropped) = self.transact(batch, ledger)? {
                return Ok(Delivered { dropped, ..Delivered::default() });
            }
            patience.wait(&self.target(), &self.reason())?;
        }
    }
}

impl Sink for Topic<'_> {
    fn deliver(&mut self, batch: &Batch, in_doubt: bool) -> Result<Delivered, SinkError> {
        if self.settings.transactional_id.is_some() {
            return self.deliver_once(batch, in_doubt);
        }
        let dropped = self.send(batch)?;
        Ok(Delivered { dropped, ..Delivered::default() })
    }
}

/// A batch as an offset. Not its number: that begins anew with each state, and what an earlier one
/// left there says nothing about this one.
const fn mark(batch: &Batch) -> i64 {
    (batch.id & i64::MAX as u64) as i64
}

fn producer_config(settings: &Settings, patience: Option<Duration>) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &settings.brokers)
        .set("client.id", "flowlake")
        .set("enable.idempotence", "true")
        .set("compression.codec", "lz4")
        .set("linger.ms", "20")
        // What may wait in memory.
        .set("queue.buffering.max.messages", "200000")
        .set("queue.buffering.max.kbytes", "65536");
    match &settings.transactional_id {
        // Its own limit is that of messages, too.
        Some(id) => config.set("transactional.id", id),
        None => {
            let ms = patience.map_or(0, |p| p.as_millis().max(1000));
            config.set("message.timeout.ms", ms.to_string())
        }
    };
    for (name, value) in &settings.properties {
        config.set(name, value);
    }
    config
}

fn ledger_config(settings: &Settings, id: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    // Properties of producers are none of consumers.
    let common = ["security.", "sasl.", "ssl.", "broker.", "socket.", "client.", "debug"];
    let is_common = |name: &str| common.iter().any(|prefix| name.starts_with(prefix));
    for (name, value) in settings.properties.iter().filter(|(name, _)| is_common(name)) {
        config.set(name, value);
    }
    config
        .set("bootstrap.servers", &settings.brokers)
        .set("group.id", format!("flowlake-{id}"))
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false");
    config
}

/// Whether it may be otherwise later.
fn is_later(e: &KafkaError) -> bool {
    match e {
        // That of brokers without transactions counts as one that passes; it does not.
        KafkaError::Transaction(e) => {
            e.is_retriable() && e.code() != RDKafkaErrorCode::UnsupportedFeature
        }
        e => matches!(
            e.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::OperationTimedOut
                    | RDKafkaErrorCode::BrokerTransportFailure
                    | RDKafkaErrorCode::AllBrokersDown
            )
        ),
    }
}

fn needs_abort(e: &KafkaError) -> bool {
    matches!(e, KafkaError::Transaction(e) if e.txn_requires_abort())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
