//! Files of ours read by the installed nfdump, its files read by `flowdump`, and the same numbers
//! from both.
//!
//! Written for the nfdump 1.7.1 of Debian 12; a later one has to pass, too.

mod common;

use common::flows::FlowFile;
use common::{FLOWDUMP, Scene, has, run, stdout_of};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const NFDUMP: &str = "nfdump";

fn source(scene: &Scene) -> PathBuf {
    let path = scene.path("source");
    FlowFile { flows: 3000, ..FlowFile::default() }.write(&path);
    path
}

/// What nfdump prints if it has nothing to complain about.
fn nfdump(args: &[&str]) -> String {
    let output = run(NFDUMP, args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    // 1.7.8 tells how many threads it uses if it is told how many.
    assert!(stderr.is_empty() || stderr.starts_with("Using "), "nfdump {args:?}: {stderr}");
    assert!(output.status.success(), "nfdump {args:?} ended with {}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

fn flowdump(args: &[&str]) -> String {
    stdout_of(FLOWDUMP, args)
}

/// Everything both programs print of a record alike, as text; sorted, since later versions of
/// nfdump keep no order.
const COLUMNS: &str = "fmt:%tsr %td %pr %sap %dap %stos %dtos %ipkt %ibyt %opkt %obyt %fl %in \
    %out %sas %das %smk %dmk %dir %nh %nhb %svln %dvln %ismc %odmc %idmc %osmc %mpls1 %mpls2 %ra %exp \
    %nas %pas %cl %sl %al %xsa %xda %xsp %xdp %pbstart %pbend %ivrf %evrf %eng %fwd %bpp";

fn same_columns(file: &Path, what: &str) {
    let args = ["-q", "-N", "-6", "-r", file.to_str().unwrap(), "-o", COLUMNS];
    let sorted = |text: String| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let (ours, theirs) = (sorted(flowdump(&args)), sorted(nfdump(&args)));
    assert!(!ours.is_empty(), "{what}");
    for (o, t) in ours.iter().zip(&theirs) {
        assert_eq!(o, t, "{what}");
    }
    assert_eq!(ours.len(), theirs.len(), "{what}");
}

/// Keys that one of the programs prints alone, or in a way of its own.
const NOT_COMPARED: &[&str] = &[
    "cnt",
    "ident",
    "label",
    "src4_geo",
    "dst4_geo",
    "src6_geo",
    "dst6_geo",
    "nat_pool_id",
    // 1.7.1 shows the status of ICMP flows, 1.7.8 does not.
    "fwd_status",
    // IPv6 networks are wrong there; events have milliseconds without zeros.
    "src_net",
    "dst_net",
    "t_event",
];

/// Records of a JSON list. 1.7.1 quotes some numbers.
fn objects(json: &str) -> Vec<BTreeMap<String, String>> {
    let all: Vec<Map<String, Value>> = serde_json::from_str(json).expect("JSON");
    let text = |v: Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    let mut all: Vec<BTreeMap<_, _>> = all
        .into_iter()
        .map(|r| {
            let kept = r.into_iter().filter(|(k, _)| !NOT_COMPARED.contains(&k.as_str()));
            kept.map(|(k, v)| (k, text(v))).collect()
        })
        .collect();
    all.sort();
    all
}

fn same_json(file: &Path, what: &str) {
    let args = ["-r", file.to_str().unwrap(), "-o", "json"];
    let (ours, theirs) = (objects(&flowdump(&args)), objects(&nfdump(&args)));
    for (o, t) in ours.iter().zip(&theirs) {
        assert_eq!(o, t, "{what}");
    }
    assert_eq!(ours.len(), theirs.len(), "{what}");
}

/// nfdump reads the file without a word, finds it sound, and says the same of it as we do.
fn accepted(file: &Path, what: &str) {
    let path = file.to_str().unwrap();
    same_columns(file, what);
    same_json(file, what);
    let verify = nfdump(&["-v", path]);
    assert!(verify.contains("Checking data blocks"), "{what}: {verify}");
    assert_eq!(counted(&verify), counted(&flowdump(&["-v", path])), "{what}");
    for word in ["rror", "orrupt", "failed", "nknown"] {
        assert!(!verify.contains(word), "{what}: {verify}");
    }
    assert_eq!(nfdump(&["-I", "-r", path]), flowdump(&["-I", "-r", path]), "{what}");
}

/// What `-v` says of blocks and records.
fn counted(verify: &str) -> Vec<&str> {
    let begins = ["Appdx blks", "Data blks", "Type ", "Records "];
    let lines: Vec<_> =
        verify.lines().filter(|l| begins.iter().any(|b| l.starts_with(b))).collect();
    assert_eq!(lines.len(), 4, "{verify}");
    lines
}

/// Ways to compress that the installed nfdump reads.
fn packings() -> Vec<&'static [&'static str]> {
    let mut all: Vec<&[&str]> =
        vec![&[], &["-z=lzo"], &["-j"], &["-z=bz2"], &["-y"], &["-z=lz4"], &["-z=lz4:9"], &["-z"]];
    let version = run(NFDUMP, ["-V"]);
    if String::from_utf8_lossy(&version.stdout).contains("ZSTD") {
        all.extend([&["-z=zstd"][..], &["-z=zstd:9"]]);
    }
    all
}

#[test]
fn nfdump_reads_what_flowdump_writes() {
    if !has(NFDUMP) {
        return;
    }
    let scene = Scene::new();
    let source = source(&scene);
    accepted(&source, "as a collector writes it");
    let written = scene.path("written");
    let rewritten = |options: &[&str]| {
        let mut args = vec!["-r", source.to_str().unwrap(), "-w", written.to_str().unwrap()];
        args.extend(options);
        assert_eq!(flowdump(&args), "", "{args:?}");
        accepted(&written, &format!("{options:?}"));
    };
    for packing in packings() {
        rewritten(packing);
    }
    for selection in [
        &["ipv4 and not port 53"][..],
        &["-O", "bytes"],
        &["-c", "100"],
        &["-a"],
        &["-a", "-O", "tstart", "-n", "50"],
        &["-A", "srcip4/24,dstport", "ipv4"],
        &["-A", "proto,srcip,dstip,srcas,dstas,inif,outif,srctos,flags"],
        &["-A", "xsrcip,xsrcport,mpls1,insrcmac,next,router,exp", "ipv4"],
    ] {
        rewritten(selection);
    }
}

#[test]
fn flowdump_reads_what_nfdump_writes() {
    if !has(NFDUMP) {
        return;
    }
    let scene = Scene::new();
    let source = source(&scene);
    let all = |path: &Path| objects(&flowdump(&["-r", path.to_str().unwrap(), "-o", "json"]));
    for packing in [&[][..], &["-z"], &["-y"], &["-j"]] {
        let written = scene.path("written");
        let mut args = vec!["-r", source.to_str().unwrap(), "-w", written.to_str().unwrap()];
        args.extend(packing);
        nfdump(&args);
        same_columns(&written, &format!("{packing:?}"));
        assert_eq!(all(&written).len(), 3000);
        assert!(all(&written) == all(&source), "{packing:?}: not the records of the source");
        let info = ["-I", "-r", written.to_str().unwrap()];
        assert_eq!(nfdump(&info), flowdump(&info), "{packing:?}");
        let verify = flowdump(&["-v", written.to_str().unwrap()]);
        assert!(verify.contains("Result        : sound"), "{packing:?}: {verify}");

        args.push("-a");
        nfdump(&args);
        same_columns(&written, &format!("{packing:?} -a"));
    }
}

/// Lines of a CSV table as maps from the names in its header, up to what follows the table.
fn table(csv: &str) -> Vec<BTreeMap<&str, &str>> {
    let mut lines = csv.lines();
    let names: Vec<&str> = lines.next().expect("header").split(',').collect();
    lines
        .take_while(|l| l.split(',').count() == names.len())
        .map(|l| names.iter().copied().zip(l.split(',')).collect())
        .collect()
}

#[test]
fn statistics_have_the_same_numbers() {
    if !has(NFDUMP) {
        return;
    }
    let scene = Scene::new();
    let source = source(&scene);
    for statistic in [
        "srcip/bytes",
        "dstip/packets",
        "ip/flows",
        "srcport",
        "dstport:p",
        "port:p/bytes",
        "proto/pps",
        "srcas/bps",
        "dstas/bpp",
        "as",
        "inif/ibyte",
        "outif/ipkg",
        "if",
        "srctos",
        "dir",
        "srcmask",
        "dstmask:p",
        "mask",
        "srcvlan",
        "vlan",
        "nhip",
        "router/bytes",
        "insrcmac",
        "outdstmac",
        "dstip/opkg",
        "srcip/obyte",
        "nextas",
        "prevas/opps",
    ] {
        let args = ["-r", source.to_str().unwrap(), "-s", statistic, "-n", "0", "-o", "csv"];
        let (ours, theirs) = (flowdump(&args), nfdump(&args));
        let (mut ours, mut theirs) = (table(&ours), table(&theirs));
        // Records without such an address: 1.7.1 counts them as zeros, later ones leave them out.
        theirs.retain(|r| !["0.0.0.0", "00:00:00:00:00:00"].contains(&r["val"]));
        assert!(!ours.is_empty(), "{statistic}");
        // Equal values come in any order. Whether both sort alike is seen from the values alone.
        let order = statistic.split('/').nth(1).unwrap_or("flows").trim_end_matches(":a");
        let column = match order {
            "flows" => "fl",
            "bytes" => "byt",
            "packets" => "pkt",
            "ipkg" => "ipkt",
            "ibyte" => "ibyt",
            "opkg" => "opkt",
            "obyte" => "obyt",
            other => other,
        };
        let values = |rows: &[BTreeMap<&str, &str>]| -> Vec<String> {
            rows.iter().map(|r| r[column].to_owned()).collect()
        };
        assert_eq!(values(&ours), values(&theirs), "{statistic}");
        ours.sort();
        theirs.sort();
        for (o, t) in ours.iter().zip(&theirs) {
            assert_eq!(o, t, "{statistic}");
        }
        assert_eq!(ours.len(), theirs.len(), "{statistic}");
    }
}

#[test]
fn joined_flows_have_the_same_numbers() {
    if !has(NFDUMP) {
        return;
    }
    let scene = Scene::new();
    let source = source(&scene);
    let all =
        "fmt:%tsr %td %pr %sap %dap %ipkt %ibyt %opkt %obyt %fl %in %out %sas %das %stos %smk %ra";
    for (mode, format) in [
        (&["-a"][..], all),
        (&["-a", "-O", "bytes"], all),
        (&["-a", "-O", "flows"], all),
        (&["-a", "-O", "tstart"], all),
        (&["-a", "-O", "tend"], all),
        (&["-a", "-O", "packets", "proto udp"], all),
        (&["-s", "record/bytes", "-n", "0"], all),
        (&["-s", "record/flows", "-n", "0"], all),
        (
            &["-A", "srcip4/24,dstport", "-O", "bytes", "ipv4 and not proto icmp"],
            "fmt:%tsr %td %sa %dp %pkt %byt %fl",
        ),
        (&["-A", "srcip,dstip", "-O", "flows"], "fmt:%tsr %td %sa %da %pkt %byt %fl"),
        (&["-A", "proto,srcas,dstas", "-O", "packets"], "fmt:%tsr %td %pr %sas %das %pkt %byt %fl"),
        (&["-A", "inif,outif"], "fmt:%tsr %td %in %out %pkt %byt %fl"),
        (&["-A", "srcvlan,srctos"], "fmt:%tsr %td %svln %stos %pkt %byt %fl"),
        (&["-A", "srcip6/48,proto", "ipv6"], "fmt:%tsr %td %sa %pr %pkt %byt %fl"),
    ] {
        let mut args = vec!["-q", "-N", "-6", "-r", source.to_str().unwrap(), "-o", format];
        args.extend(mode);
        let lines = |text: String| {
            let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        let (ours, theirs) = (lines(flowdump(&args)), lines(nfdump(&args)));
        assert!(!ours.is_empty(), "{mode:?}");
        for (o, t) in ours.iter().zip(&theirs) {
            assert_eq!(o, t, "{mode:?}");
        }
        assert_eq!(ours.len(), theirs.len(), "{mode:?}");
    }
}
