//! Flow files: each compression and layout, closed, open and cut.

use crate::Seed;
use anyhow::Context as _;
use bench::{Model, Traffic};
use record::{
    Addr, Exporter, ExporterStats, Field, Flow, FlowSink as _, Kind, Meta, NameTable, Sampler,
};
use std::path::Path;
use store::{Compression, Writer, WriterOptions};

const CREATED: u64 = 1_795_000_000;

pub(super) fn seeds() -> anyhow::Result<Vec<Seed>> {
    let dir = std::env::temp_dir().join(format!("genseeds-{}", std::process::id()));
    std::fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    let seeds = in_directory(&dir);
    std::fs::remove_dir_all(&dir).with_context(|| format!("remove {}", dir.display()))?;
    seeds
}

fn in_directory(dir: &Path) -> anyhow::Result<Vec<Seed>> {
    let path = dir.join("nfcapd.seed");
    let mut seeds = Vec::new();
    for n in 0..=4 {
        let compression = Compression::from_number(n).context("a compression")?;
        let mut writer = create(&path, compression)?;
        flows(&mut writer, 6)?;
        writer.close(&[])?;
        seeds.push((format!("closed-{compression}"), std::fs::read(&path)?));
    }
    for compression in [Compression::None, Compression::Lz4] {
        let mut writer = create(&path, compression)?;
        flows(&mut writer, 4)?;
        flows(&mut writer, 4)?;
        drop(writer); // as a crash leaves it
        let open = std::fs::read(&path)?;
        seeds.push((format!("cut-{compression}"), open[..open.len() - 31].to_vec()));
        seeds.push((format!("open-{compression}"), open));
    }
    let mut writer = create(&path, Compression::None)?;
    everything(&mut writer);
    writer.close(&[ExporterStats { sysid: 1, packets: 3, flows: 9, sequence_failures: 1 }])?;
    seeds.push(("every-field".into(), std::fs::read(&path)?));
    create(&path, Compression::Zstd)?.close(&[])?;
    seeds.push(("no-flows".into(), std::fs::read(&path)?));
    seeds.push(("layout-1".into(), layout_1()));
    Ok(seeds)
}

fn create(path: &Path, compression: Compression) -> anyhow::Result<Writer> {
    let options = WriterOptions {
        compression: compression.into(),
        ident: "seed".into(),
        created_secs: CREATED,
        ..WriterOptions::default()
    };
    Ok(Writer::create(path, &options)?)
}

/// A block of so many flows of the traffic model.
fn flows(writer: &mut Writer, count: u64) -> anyhow::Result<()> {
    let mut traffic = Traffic::new(Model { v6_percent: 50, ..Model::default() });
    let mut flow = Flow::new();
    for n in 0..count {
        traffic.fill((CREATED + n) * 1000, &mut flow);
        writer.flow(&flow);
    }
    Ok(writer.flush()?)
}

/// What exporters say of themselves, then a flow with every field, IPv4 and IPv6.
fn everything(writer: &mut Writer) {
    let exporter = Exporter { sysid: 1, version: 10, addr: Addr::V6(1), id: 7 };
    writer.meta(Meta::Exporter(exporter));
    writer.meta(Meta::Sampler(Sampler {
        exporter: 1,
        algorithm: 2,
        id: 5,
        packet_interval: 1,
        space_interval: 99,
    }));
    for (table, name) in [(NameTable::Interface, "ge-0/0/1"), (NameTable::Vrf, "red")] {
        writer.meta(Meta::Name { exporter: 1, table, id: 3, name: name.as_bytes() });
    }
    let (id, name, description) = (&[3, 0, 0, 80][..], &b"http"[..], &b"web"[..]);
    writer.meta(Meta::Application { exporter: 1, id, name, description });
    let mut flow = Flow::new();
    for (low, addr) in [(1, Addr::V4(0x0a00_0001)), (2, Addr::V6(u128::MAX / 3))] {
        flow.clear();
        for (n, field) in (low..).zip(Field::ALL.iter().copied()) {
            match field.kind() {
                Kind::Addr => flow.set_addr(field, addr),
                Kind::Time => drop(flow.set(field, CREATED * 1000 + n)),
                Kind::Acl => drop(flow.set_bytes(field, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])),
                Kind::Text(_) | Kind::Bytes => drop(flow.set_bytes(field, b"seed")),
                _ => drop(flow.set(field, n)),
            }
        }
        writer.flow(&flow);
    }
}

/// A file as nfcapd 1.6 wrote them: header, statistics, one block with an extension map and two
/// flows (file format, section 13).
fn layout_1() -> Vec<u8> {
    let words = |words: &[u16]| words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<_>>();
    // Map 1: extensions 4 (interfaces), 6 (AS), 8 (tos, direction, masks); 0 ends it.
    let map = words(&[2, 16, 1, 12, 4, 6, 8, 0]);
    let flow = |flags: u16, addresses: &[u8]| {
        let tail =
            [addresses, &[9, 0, 0, 0, 232, 3, 0, 0], &[1, 0, 2, 0, 3, 0, 4, 0, 0, 1, 24, 16]];
        let tail = tail.concat();
        let mut out = words(&[10, 32 + tail.len() as u16, flags, 1, 7, 90]);
        out.extend((CREATED as u32).to_le_bytes());
        out.extend((CREATED as u32 + 1).to_le_bytes());
        out.extend([64, 0x1b, 6, 0]);
        out.extend(words(&[50_000, 443, 0, 0]));
        [out, tail].concat()
    };
    let payload = [map, flow(0, &[1, 0, 0, 10, 2, 0, 0, 10]), flow(1, &[7; 32])].concat();
    let mut file = words(&[0xa50c, 1, 0, 0, 1, 0]);
    file.extend(b"seed");
    file.resize(276, 0);
    file.extend(3u32.to_le_bytes());
    file.extend((payload.len() as u32).to_le_bytes());
    file.extend(words(&[2, 0]));
    [file, payload].concat()
}
