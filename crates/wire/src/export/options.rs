//! Options: what an exporter says of itself. Sampling, names of interfaces, and when it booted
//! (RFC 3954, 6; RFC 7011, 3.4.2; RFC 5477 for sampling).

use super::template::options_record;
use super::{ExportConfig, InterfaceName, Sampling, SamplingKind, TimeFormat, Version};
use crate::template::{FieldSpec, PEN_V9_SCOPE};

/// An options template and its records.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub(super) id: u16,
    pub(super) template: Vec<u8>,
    pub(super) records: Vec<Vec<u8>>,
}

const SAMPLING_ID: u16 = 256;
const INTERFACES_ID: u16 = 257;
const BOOT_ID: u16 = 258;

/// All there is to say, names of interfaces if asked for. `boot_ms` is when uptimes count from.
pub(super) fn options(
    config: &ExportConfig,
    boot_ms: Option<u64>,
    has_names: bool,
) -> Vec<Options> {
    let is_relative = config.time == TimeFormat::UptimeMs && config.version == Version::Ipfix;
    let boot = boot_ms.filter(|_| is_relative).map(|ms| boot(config, ms));
    let sampling = config.sampling.filter(|s| s.one_of > 1).map(|s| sampling(config, s));
    let interfaces = (has_names && !config.interfaces.is_empty()).then(|| interfaces(config));
    [boot, sampling, interfaces].into_iter().flatten().collect()
}

/// One value with the element it is for.
struct Value(u16, Vec<u8>);

fn number(id: u16, value: u32, len: u16) -> Value {
    let octets = u64::from(value).to_be_bytes();
    Value(id, octets.get(8 - usize::from(len)..).unwrap_or_default().to_vec())
}

/// Options of one record: `scope` is that of IPFIX, in place of which v9 has its scope "system".
fn one(config: &ExportConfig, id: u16, scope: Vec<Value>, values: Vec<Value>) -> Options {
    const V9_SYSTEM: u16 = 1;
    let (pen, scope) = match config.version {
        Version::Ipfix => (0, scope),
        _ => (PEN_V9_SCOPE, vec![number(V9_SYSTEM, config.domain, 4)]),
    };
    let spec = |pen| move |v: &Value| FieldSpec { pen, id: v.0, len: v.1.len() as u16 };
    let fields: Vec<_> = scope.iter().map(spec(pen)).chain(values.iter().map(spec(0))).collect();
    let template = options_record(config.version, id, scope.len(), &fields);
    let record = scope.into_iter().chain(values).flat_map(|v| v.1).collect();
    Options { id, template, records: vec![record] }
}

/// The scope "this observation domain".
fn domain(config: &ExportConfig) -> Value {
    number(149, config.domain, 4)
}

/// When uptimes count from: systemInitTimeMilliseconds. v9 says it in each header.
fn boot(config: &ExportConfig, boot_ms: u64) -> Options {
    one(config, BOOT_ID, vec![domain(config)], vec![Value(160, boot_ms.to_be_bytes().to_vec())])
}

fn sampling(config: &ExportConfig, sampling: Sampling) -> Options {
    let Sampling { one_of, kind, selector } = sampling;
    let is_random = kind == SamplingKind::Random;
    // samplingAlgorithm and samplerMode: 1 deterministic, 2 random.
    let mode = 1 + u32::from(is_random);
    match (config.version, selector) {
        (Version::Ipfix, _) => {
            // selectorAlgorithm (RFC 5477, 8.2): 1 systematic, 3 so many of so many.
            let algorithm = if is_random { 3 } else { 1 };
            let mut values = vec![number(304, algorithm, 2)];
            if is_random {
                values.extend([number(309, 1, 4), number(310, one_of, 4)]);
            }
            // Beside a random choice too: what most collectors take a rate from.
            values.extend([number(305, 1, 4), number(306, one_of - 1, 4)]);
            let scope = selector.map_or_else(|| domain(config), |id| number(302, id, 8));
            one(config, SAMPLING_ID, vec![scope], values)
        }
        (_, None) => {
            let values = vec![number(34, one_of, 4), number(35, mode, 1)];
            one(config, SAMPLING_ID, vec![domain(config)], values)
        }
        (_, Some(id)) => {
            let values = vec![number(48, id, 4), number(49, mode, 1), number(50, one_of, 4)];
            one(config, SAMPLING_ID, vec![domain(config)], values)
        }
    }
}

/// Names of interfaces: interfaceName, and interfaceDescription, which is the name too where there
/// is no other; some collectors read the one, some the other.
///
/// Lengths are fixed, because some read no others in options. nfcapd 1.7.1 takes a record to be the
/// scope, the index and the description: over IPFIX the name belongs to the scope, as index and
/// description are those of the interface of this name.
fn interfaces(config: &ExportConfig) -> Options {
    let mut all = Options::default();
    for InterfaceName { index, name, description } in &config.interfaces {
        let about = if description.is_empty() { name } else { description };
        let (index, name) = (number(10, *index, 4), text(82, name, 32));
        let about = text(83, about, 64);
        let options = match config.version {
            Version::Ipfix => {
                one(config, INTERFACES_ID, vec![domain(config), name], vec![index, about])
            }
            _ => one(config, INTERFACES_ID, Vec::new(), vec![index, name, about]),
        };
        all.id = options.id;
        all.template = options.template;
        all.records.extend(options.records);
    }
    all
}

/// Text of `len` octets, cut between characters or filled with zeros.
fn text(id: u16, text: &str, len: usize) -> Value {
    let cut = (0..=len).rev().find_map(|end| text.get(..end.min(text.len())));
    let mut octets = cut.unwrap_or_default().as_bytes().to_vec();
    octets.resize(len, 0);
    Value(id, octets)
}
