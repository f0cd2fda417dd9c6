//! Against librdkafka's own cluster of brokers that live in the process.

use super::*;
use crate::stream::exporters::Exporters;
use crate::stream::goflow::tests::FlowMessage;
use crate::stream::journal::Stretch;
use prost::Message as _;
use rdkafka::consumer::CommitMode;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::RDKafkaApiKey;
use record::Flow;
use std::collections::BTreeMap;

const TOPIC: &str = "flows";
const PARTITIONS: i32 = 3;

fn cluster() -> MockCluster<'static, DefaultProducerContext> {
    let cluster = MockCluster::new(2).unwrap();
    cluster.create_topic(TOPIC, PARTITIONS, 1).unwrap();
    cluster
}

fn settings(cluster: &MockCluster<'static, DefaultProducerContext>) -> Settings {
    Settings { brokers: cluster.bootstrap_servers(), topic: TOPIC.into(), ..Settings::default() }
}

fn batch(number: u64, ports: std::ops::Range<u64>, key: Key) -> Batch {
    let mut encode = Messages::new(Framing::Delimited, key);
    let (mut encoded, exporters) = (Encoded::default(), Exporters::default());
    for port in ports {
        let mut flow = Flow::new();
        flow.set(Field::SrcPort, port);
        flow.set_addr(Field::SrcAddr, Addr::V4((port % 7) as u32));
        let of = Origin { exporters: &exporters, ident: "", batch: 1, count: 1 };
        encode.row(flow.as_row(), &of, &mut encoded);
        encoded.note(flow.as_row());
    }
    let stretch = Stretch { number, path: "f".into(), from: 0, until: 1 };
    Batch { stretch, id: number, encoded }
}

/// The first `n` messages there are: partition, key, source port.
fn consume(
    cluster: &MockCluster<'static, DefaultProducerContext>,
    n: usize,
) -> Vec<(i32, Option<Vec<u8>>, u32)> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("group.id", "test")
        .create()
        .unwrap();
    let mut all = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        all.add_partition_offset(TOPIC, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&all).unwrap();
    let mut messages = Vec::new();
    while messages.len() < n {
        let message = consumer.poll(LIMIT).expect("a message").unwrap();
        let decoded = FlowMessage::decode_length_delimited(message.payload().unwrap()).unwrap();
        messages.push((message.partition(), message.key().map(<[u8]>::to_vec), decoded.src_port));
    }
    messages
}

fn ports(messages: &[(i32, Option<Vec<u8>>, u32)]) -> Vec<u32> {
    let mut ports: Vec<_> = messages.iter().map(|m| m.2).collect();
    ports.sort_unstable();
    ports
}

#[test]
fn each_flow_is_a_message() {
    let (cluster, stop) = (cluster(), AtomicBool::new(false));
    let mut topic = Topic::new(settings(&cluster), &stop, Some(LIMIT)).unwrap();
    for n in 0..3 {
        let batch = batch(n + 1, n * 1000..(n + 1) * 1000, Key::None);
        assert_eq!(topic.deliver(&batch, false).unwrap(), Delivered::default());
    }
    assert_eq!(topic.reports.delivered.load(Relaxed), 3000);
    let messages = consume(&cluster, 3000);
    assert_eq!(ports(&messages), (0..3000).collect::<Vec<_>>());
    assert!(messages.iter().all(|m| m.1.is_none()));
}

#[test]
fn flows_of_a_key_share_a_partition() {
    let (cluster, stop) = (cluster(), AtomicBool::new(false));
    let mut topic = Topic::new(settings(&cluster), &stop, Some(LIMIT)).unwrap();
    topic.deliver(&batch(1, 0..700, Key::Source), false).unwrap();
    let mut partitions = BTreeMap::new();
    for (partition, key, port) in consume(&cluster, 700) {
        let first = partitions.entry(port % 7).or_insert_with(|| (partition, key.clone()));
        assert_eq!(*first, (partition, key), "port {port}");
    }
    assert_eq!(partitions.len(), 7);
}

#[test]
fn a_queue_that_is_full_holds_up_or_drops() {
    for drop_when_full in [false, true] {
        let (cluster, stop) = (cluster(), AtomicBool::new(false));
        let properties = [("queue.buffering.max.messages", "50"), ("linger.ms", "0")];
        let settings = Settings {
            drop_when_full,
            properties: properties.map(|(n, v)| (n.into(), v.into())).to_vec(),
            ..settings(&cluster)
        };
        let mut topic = Topic::new(settings, &stop, Some(LIMIT)).unwrap();
        let delivered = topic.deliver(&batch(1, 0..5000, Key::None), false).unwrap();
        assert_eq!(delivered.dropped > 0, drop_when_full);
        let there = topic.reports.delivered.load(Relaxed);
        assert_eq!(there + delivered.dropped, 5000);
        assert_eq!(consume(&cluster, there as usize).len() as u64, there);
    }
}

#[test]
fn brokers_that_are_down_are_waited_for_and_told() {
    let (cluster, stop) = (cluster(), AtomicBool::new(false));
    let mut topic = Topic::new(settings(&cluster), &stop, Some(Duration::from_secs(1))).unwrap();
    for broker in [1, 2] {
        cluster.broker_down(broker).unwrap();
    }
    let e = topic.deliver(&batch(1, 0..100, Key::None), false).unwrap_err();
    assert!(matches!(e, SinkError::Unreachable { .. }), "{e}");
    assert!(e.to_string().contains("100 messages"), "{e}");
    stop.store(true, Relaxed);
    let mut patient = Topic::new(settings(&cluster), &stop, None).unwrap();
    let e = patient.deliver(&batch(1, 0..100, Key::None), false).unwrap_err();
    assert!(matches!(e, SinkError::Stopped), "{e}");
}

#[test]
fn transactions_say_which_batch_counts() {
    let (cluster, stop) = (cluster(), AtomicBool::new(false));
    let settings = Settings { transactional_id: Some("lab".into()), ..settings(&cluster) };
    let mut topic = Topic::new(settings.clone(), &stop, Some(LIMIT)).unwrap();
    assert_eq!(topic.deliver(&batch(1, 0..100, Key::None), false).unwrap(), Delivered::default());
    drop(topic);
    // These brokers keep offsets, but not those of transactions: here a consumer commits instead.
    let ledger: BaseConsumer = ledger_config(&settings, "lab").create().unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(TOPIC, 0, Offset::Offset(2)).unwrap();
    ledger.commit(&offsets, CommitMode::Sync).unwrap();

    let mut topic = Topic::new(settings, &stop, Some(LIMIT)).unwrap();
    let again = topic.deliver(&batch(2, 100..200, Key::None), true).unwrap();
    assert!(again.was_there, "it was committed");
    // Nor does a later one count, nor one that a state before this had reached.
    for number in [3, 1] {
        let ports = number * 100..(number + 1) * 100;
        let missing = topic.deliver(&batch(number, ports, Key::None), true).unwrap();
        assert!(!missing.was_there, "{number} was not");
    }
    let want: Vec<u32> = (0..200).chain(300..400).collect();
    assert_eq!(ports(&consume(&cluster, 300)), want);
}

#[test]
fn brokers_without_transactions_are_told_at_once() {
    let (cluster, stop) = (cluster(), AtomicBool::new(false));
    cluster.apiversion(RDKafkaApiKey::EndTxn, Some(-1), Some(-1)).unwrap();
    let settings = Settings { transactional_id: Some("lab".into()), ..settings(&cluster) };
    // However long it would wait for brokers.
    let mut topic = Topic::new(settings, &stop, None).unwrap();
    let e = topic.deliver(&batch(1, 0..100, Key::None), false).unwrap_err();
    assert!(matches!(&e, SinkError::Refused { .. }), "{e}");
    assert!(e.to_string().contains("EndTxn"), "{e}");
}

#[test]
fn addresses() {
    let parse = |text| Settings::parse(text).map(|s| (s.brokers, s.topic)).ok();
    let pair = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
    assert_eq!(parse("h:1/t"), pair("h:1", "t"));
    assert_eq!(parse("h:1,[::1]:2/flows.raw-1"), pair("h:1,[::1]:2", "flows.raw-1"));
    for wrong in ["h:1", "/t", "h:1/", "h:1,/t", "h:1/a/b", "h:1/a b"] {
        assert_eq!(parse(wrong), None, "{wrong}");
    }
}

#[test]
fn what_needs_openssl_is_said_before_anything_is_asked() {
    static NEVER: AtomicBool = AtomicBool::new(false);
    for (name, value, is_plain) in [
        ("security.protocol", "SASL_SSL", false),
        ("security.protocol", "ssl", false),
        ("sasl.mechanism", "SCRAM-SHA-256", false),
        ("sasl.mechanisms", "OAUTHBEARER", false),
        ("ssl.ca.location", "/nowhere", false),
        ("security.protocol", "plaintext", true),
        ("socket.keepalive.enable", "true", true),
    ] {
        let mut settings = Settings::parse("127.0.0.1:1/t").unwrap();
        settings.properties.push((name.to_owned(), value.to_owned()));
        let is_told = settings.missing().is_some_and(|what| what.contains("kafka-tls"));
        assert_eq!(is_told, !is_plain && !cfg!(feature = "kafka-tls"), "{name}={value}");
        let topic = Topic::new(settings, &NEVER, None);
        assert!(!is_told || matches!(topic, Err(SinkError::Refused { .. })), "{name}={value}");
    }
}

/// Passwords in plain text need no library: whoever asks for that has another way to keep them.
#[test]
fn sasl_with_plain_passwords_is_there() {
    static NEVER: AtomicBool = AtomicBool::new(false);
    let mut settings = Settings::parse("127.0.0.1:1/t").unwrap();
    for (name, value) in [
        ("security.protocol", "sasl_plaintext"),
        ("sasl.mechanisms", "PLAIN"),
        ("sasl.username", "u"),
        ("sasl.password", "p"),
    ] {
        settings.properties.push((name.to_owned(), value.to_owned()));
    }
    assert!(Topic::new(settings, &NEVER, None).is_ok());
}
