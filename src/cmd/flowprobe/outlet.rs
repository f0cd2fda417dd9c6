//! Where the options want flows to go.

use crate::args::flowprobe::settings::{Export, Files, Settings};
use export::{Dispatch, FilesConfig, SendConfig};
use probe::{Macs, Outlet, Sampling};
use record::Sampler;
use std::time::Duration;
use store::Extensions;
use sys::Leave;

/// How the probe goes about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// When the probe began, milliseconds since 1970; 0 before the first packet of a file.
    pub(super) boot_ms: u64,
    /// Packets come from a file, and may wait for collectors.
    pub(super) is_file: bool,
}

/// Extension 42, times to live and fragment flags: nfdump before 1.7.5 warns of each record with it.
const LIFETIMES: u16 = 42;

/// How long a record may wait for others: together with the ticks of the cache, and the time that
/// packets may be under way, a flow is exported within a second after its end.
const MAX_DELAY_MS: u64 = 250;

/// How long names may take at the start.
const RESOLVE: Duration = Duration::from_secs(10);

/// Opens destinations and files.
pub(super) fn open(settings: &Settings, manner: Manner) -> anyhow::Result<Outlet> {
    let macs = Macs { are_told: settings.has_macs, own: settings.lookup.mac };
    let mut outlet = Outlet::new().with_macs(macs);
    if let Some(export) = &settings.export {
        outlet = outlet
            .with_export(dispatch(settings, export, manner)?, export.encoder.biflow)
            .with_labels(export.mpls_labels);
    }
    if let Some(files) = &settings.files {
        outlet = outlet
            .with_files(open_files(settings, files, manner)?, files.is_biflow)
            .with_sampling(settings.cache.sampling.rate());
    }
    Ok(outlet)
}

fn dispatch(settings: &Settings, export: &Export, manner: Manner) -> anyhow::Result<Dispatch> {
    let is_old = settings.program == "softflowd";
    let send = SendConfig {
        transport: export.transport,
        leave: Leave {
            from: export.from,
            interface: export.interface.clone(),
            // Whatever its manual says, softflowd sets it for multicast groups only.
            hops: export.hop_limit.filter(|_| !is_old),
            multicast_hops: export.hop_limit,
            ..Leave::default()
        },
        waits: manner.is_file,
        resolve_within: Some(RESOLVE),
        ..SendConfig::new(export.to.clone(), export.encoder.version)
    };
    let mut encoder = export.encoder.clone();
    encoder.boot_ms = manner.boot_ms;
    encoder.max_delay_ms = MAX_DELAY_MS;
    Ok(Dispatch::start(encoder, send, export.is_balanced)?)
}

fn open_files(settings: &Settings, files: &Files, manner: Manner) -> anyhow::Result<export::Files> {
    let (algorithm, rate) = match settings.cache.sampling {
        Sampling::Off => (0, 1),
        Sampling::Systematic(n) => (1, n),
        Sampling::Random(n) => (2, n),
    };
    let mut config = FilesConfig {
        interval_secs: files.rotation.interval,
        sub_dirs: files.rotation.subdirs,
        ident: files.rotation.ident.clone(),
        compression: files.rotation.packing,
        sampler: (rate > 1).then_some(Sampler {
            exporter: 1,
            algorithm,
            id: Sampler::GENERIC,
            packet_interval: 1,
            space_interval: rate - 1,
        }),
        every_slot: !manner.is_file,
        extensions: match files.is_fat {
            true => Extensions::ALL,
            false => Extensions::ALL.without(LIFETIMES),
        },
        ..FilesConfig::new(&files.dir)
    };
    if !files.rotation.has_index {
        config.index = None;
    }
    Ok(export::Files::open(config)?)
}
