//! `flowanon`: no original address is left, nfdump reads what comes out, and what goes wrong leaves
//! files as they are.

mod common;

use common::flows::FlowFile;
use common::{FLOWDUMP, Running, Scene, corpus, has, run, stdout_of, wait_until};
use record::v3;
use record::{Addr, Exporter, Field, Flow, FlowSink as _, Kind, Mac, Meta, NameTable, Row, Shape};
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use store::loss::{ExporterStatement, Loss, Place, Statement, Statements};
use store::{Writer, WriterOptions};

const FLOWANON: &str = env!("CARGO_BIN_EXE_flowanon");
const KEY: &str = "0123456789abcdefFEDCBA9876543210";

fn anon<'a>(args: impl IntoIterator<Item = &'a str>) -> Output {
    run(FLOWANON, args)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path that is text")
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

fn file_of(path: &Path, flows: u64, packing: &'static str) {
    FlowFile { flows, packing, seed: flows, ..FlowFile::default() }.write(path);
}

/// Addresses and counters as a program lists them, in order.
fn list(program: &str, file: &Path, filter: &str) -> Vec<String> {
    const FORMAT: &str =
        "fmt:%ts %pr %sap %dap %nh %nhb %ra %xsa %xda %sas %das %nas %pas %pkt %byt";
    let args = ["-q", "-N", "-6", "-r", text(file), "-o", FORMAT, filter];
    let mut lines: Vec<String> = stdout_of(program, args).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn ipv4_addresses_are_those_of_nfanon() {
    if !has("nfanon") || !has("nfdump") {
        return;
    }
    for packing in ["none", "lzo", "bz2", "lz4"] {
        let scene = Scene::new();
        let [from, ours, theirs] = ["from", "ours", "theirs"].map(|name| scene.path(name));
        file_of(&from, 3000, packing);
        stdout_of(FLOWANON, ["-K", KEY, "-r", text(&from), "-w", text(&ours)]);
        stdout_of("nfanon", ["-q", "-K", KEY, "-r", text(&from), "-w", text(&theirs)]);
        let before = list("nfdump", &from, "ipv4");
        let got = list("nfdump", &ours, "ipv4");
        assert!(before.len() > 1500 && before != got, "{packing}");
        assert!(got == list("nfdump", &theirs, "ipv4"), "{packing}: other addresses than nfanon's");
        // The same by ours, and no flow is lost.
        assert!(got == list(FLOWDUMP, &ours, "ipv4"), "{packing}");
        assert_eq!(list("nfdump", &ours, "any").len(), 3000);
    }
}

#[test]
fn real_files_of_all_versions_are_anonymised_as_nfanon_does() {
    let Some(corpus) = corpus() else { return };
    if !has("nfanon") || !has("nfdump") {
        return;
    }
    let scene = Scene::new();
    let (mut compared, mut read) = (0, 0);
    for entry in fs::read_dir(corpus.join("nfcapd-files")).unwrap().flatten() {
        let from = entry.path();
        let name = entry.file_name().into_string().unwrap();
        if from.extension().is_none_or(|e| e != "nfcapd") || name.contains("crashed") {
            continue;
        }
        let (ours, theirs) = (scene.path(format!("o.{name}")), scene.path(format!("t.{name}")));
        let done = anon(["-K", KEY, "-r", text(&from), "-w", text(&ours)]);
        if name.contains("nfanon") {
            assert_eq!(done.status.code(), Some(1), "{name}");
            assert!(said(&done).contains("anonymised already"), "{name}: {}", said(&done));
            continue;
        }
        assert!(done.status.success(), "{name}: {}", said(&done));
        let flows = |file: &Path| {
            stdout_of(FLOWDUMP, ["-q", "-r", text(file), "-o", "fmt:%pr %sp %dp %pkt"])
        };
        assert_eq!(flows(&from), flows(&ours), "{name}");
        read += 1;
        // nfanon can do nothing with files of 1.6, Debian's nothing with zstd, and it leaves tunnels.
        if ["1625", "zstd", "nfpcapd"].iter().any(|part| name.contains(part)) {
            continue;
        }
        stdout_of("nfanon", ["-q", "-K", KEY, "-r", text(&from), "-w", text(&theirs)]);
        // Not %ra: an exporter with an IPv6 address is in flows of both families.
        let by = |file: &Path| {
            let format = "fmt:%sa %da %nh %nhb %xsa %xda %sas %das %pkt";
            let args = ["-q", "-N", "-r", text(file), "-o", format, "ipv4 and packets > 0"];
            let mut lines: Vec<_> = stdout_of("nfdump", args).lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(by(&ours), by(&theirs), "{name}");
        compared += 1;
    }
    assert!(compared > 15 && read > compared, "{compared} {read}");
}

/// A flow with every field, each address another one, and elements that nobody knows.
fn all_elements(v6: bool, writer: &mut Writer, secrets: &mut Vec<Secret>) {
    let mut flow = Flow::new();
    let mut next = u32::from(v6) * 64;
    for field in Field::ALL.iter().filter(|f| !f.is_derived()) {
        next += 1;
        match field.kind() {
            Kind::Addr => {
                let addr = match v6 {
                    false => Addr::V4(0xC633_6400 + 0x0101_0000 + next * 0x0101),
                    true => Addr::V6(
                        0x2001_0DB8_A5A5_0000_1C3D_5E7F_9A00_0000
                            + u128::from(next * 0x0101)
                            + (u128::from(next) << 64),
                    ),
                };
                flow.set_addr(*field, addr);
                secrets.push(Secret::Addr(addr));
            }
            Kind::Mac => {
                let mac = 0x0211_2233_4400 + u64::from(next);
                flow.set(*field, mac);
                secrets.push(Secret::Mac(mac));
            }
            Kind::Text(_) | Kind::Bytes => {
                let secret = format!("198.51.100.{next}");
                flow.set_bytes(*field, secret.as_bytes());
                // The number of an application is what it says: no text.
                if *field == Field::AppId {
                    flow.set_bytes(*field, &[13, 0, 1, 2]);
                } else {
                    secrets.push(Secret::Text(secret));
                }
            }
            Kind::Acl => assert!(flow.set_bytes(*field, &[1; 12])),
            _ => assert!(flow.set(*field, 1 + u64::from(next % 200))),
        }
    }
    flow.set(Field::ExporterId, 1);
    flow.set(Field::RecordFlags, 0);
    writer.flow(&flow);
}

/// What must not be found.
#[derive(Clone, Debug)]
enum Secret {
    Addr(Addr),
    Mac(u64),
    Text(String),
}

impl Secret {
    /// The octets in which it could be found.
    fn forms(&self) -> Vec<Vec<u8>> {
        match self {
            Self::Addr(Addr::V4(n)) => {
                let text = Addr::V4(*n).to_string().into_bytes();
                vec![n.to_le_bytes().into(), n.to_be_bytes().into(), text]
            }
            Self::Addr(Addr::V6(n)) => {
                let halves = [(n >> 64) as u64, *n as u64];
                let mut all: Vec<Vec<u8>> = halves
                    .iter()
                    .flat_map(|h| [h.to_le_bytes().to_vec(), h.to_be_bytes().to_vec()])
                    .collect();
                all.push(Addr::V6(*n).to_string().into_bytes());
                all
            }
            Self::Mac(n) => {
                let (be, le) = (n.to_be_bytes(), n.to_le_bytes());
                vec![be[2..].into(), le[..6].into(), Mac(*n).to_string().into_bytes()]
            }
            Self::Text(t) => vec![t.clone().into_bytes()],
        }
    }

    fn is_in(&self, octets: &[u8]) -> Vec<Vec<u8>> {
        let found = |form: &Vec<u8>| octets.windows(form.len()).any(|w| w == form);
        self.forms().into_iter().filter(found).collect()
    }
}

/// A file that has everything there is. Returns what must not be found in it afterwards.
fn everything(path: &Path) -> Vec<Secret> {
    let options = WriterOptions { ident: "198.51.100.250".into(), ..WriterOptions::default() };
    let options =
        WriterOptions { compression: "none".parse::<store::Packing>().unwrap(), ..options };
    let mut writer = Writer::create(path, &options).unwrap();
    let mut secrets = vec![Secret::Text("198.51.100.250".into())];
    for (sysid, text) in [(1, "203.0.113.201"), (2, "2001:db8:ffee::dd01:cc02:bb03")] {
        let addr = Addr::from(text.parse::<IpAddr>().unwrap());
        writer.meta(Meta::Exporter(Exporter { sysid, version: 9, addr, id: 1 }));
        secrets.push(Secret::Addr(addr));
    }
    let name = "to 198.51.100.251";
    for table in [NameTable::Interface, NameTable::Vrf] {
        writer.meta(Meta::Name { exporter: 1, table, id: 7, name: name.as_bytes() });
    }
    let (id, name) = (&[1, 2, 3, 4], name.as_bytes());
    writer.meta(Meta::Application { exporter: 1, id, name, description: name });
    secrets.push(Secret::Text("198.51.100.251".into()));
    all_elements(false, &mut writer, &mut secrets);
    all_elements(true, &mut writer, &mut secrets);
    let hidden = Addr::V4(0xCB00_71C9);
    for row in odd_records(hidden) {
        writer.row(Row::new(&row, &Shape::default()));
    }
    secrets.push(Secret::Addr(hidden));
    writer.close(&[]).unwrap();
    secrets
}

/// Records with an address where nobody looks: in an element that is not known, in the fillers of
/// others, and in an element that comes twice.
fn odd_records(hidden: Addr) -> Vec<Vec<u8>> {
    let addr = &hidden.to_row()[..4];
    let mut filler = [0; 16];
    filler[10..14].copy_from_slice(addr);
    let mut hole = [0; 40];
    hole[36..].copy_from_slice(addr);
    let usual: [(u16, &[u8]); 2] = [(1, &[7; 48]), (2, &[9; 8])];
    let odd: [&[(u16, &[u8])]; 5] = [
        &[(999, addr)],
        &[(0, addr)],
        &[(18, &filler)],
        &[(32, &hole)],
        &[(10, addr), (10, &[1, 2, 3, 4])],
    ];
    odd.iter()
        .map(|more| {
            let mut out = vec![0; v3::LEN];
            for (id, data) in usual.iter().chain(*more) {
                out.extend_from_slice(&id.to_le_bytes());
                out.extend_from_slice(&(data.len() as u16 + 4).to_le_bytes());
                out.extend_from_slice(data);
            }
            let (size, count) = (out.len() as u16, (usual.len() + more.len()) as u16);
            out[..2].copy_from_slice(&v3::TYPE.to_le_bytes());
            out[2..4].copy_from_slice(&size.to_le_bytes());
            out[4..6].copy_from_slice(&count.to_le_bytes());
            out
        })
        .collect()
}

#[test]
fn no_original_address_is_left_anywhere_in_the_file() {
    let scene = Scene::new();
    let (from, to) = (scene.path("from"), scene.path("to"));
    let secrets = everything(&from);
    let octets = fs::read(&from).unwrap();
    assert!(secrets.len() > 40);
    for secret in &secrets {
        assert!(!secret.is_in(&octets).is_empty(), "{secret:?} is not in the file");
    }
    let made = anon(["-K", KEY, "-r", text(&from), "-w", text(&to)]);
    assert!(made.status.success(), "{}", said(&made));
    assert!(said(&made).contains("left out: 6 payloads, "), "{}", said(&made));
    assert!(said(&made).contains("1 elements of unknown types"), "{}", said(&made));
    let octets = fs::read(&to).unwrap();
    for secret in &secrets {
        assert_eq!(secret.is_in(&octets), Vec::<Vec<u8>>::new(), "{secret:?}");
    }
    // By truncation, too, as far as that is said: the first bits stay.
    let cut = scene.path("cut");
    let made =
        anon(["--truncate4", "16", "--truncate6", "32", "-r", text(&from), "-w", text(&cut)]);
    assert!(made.status.success(), "{}", said(&made));
    let octets = fs::read(&cut).unwrap();
    for secret in secrets.iter().filter(|s| !matches!(s, Secret::Addr(Addr::V4(_)))) {
        assert_eq!(secret.is_in(&octets), Vec::<Vec<u8>>::new(), "{secret:?}");
    }
    // What is asked for stays.
    let kept = scene.path("kept");
    let all = ["--keep", "payload,users,labels,names,ident", "--macs", "keep"];
    let made = anon(["-K", KEY, "-r", text(&from), "-w", text(&kept)].into_iter().chain(all));
    assert!(made.status.success() && !said(&made).contains("left out"), "{}", said(&made));
    let octets = fs::read(&kept).unwrap();
    for secret in &secrets {
        let is_kept = !matches!(secret, Secret::Addr(_));
        assert_eq!(!secret.is_in(&octets).is_empty(), is_kept, "{secret:?}");
    }
}

#[test]
fn flags_and_numbers_say_what_was_done() {
    let scene = Scene::new();
    let (from, to) = (scene.path("from"), scene.path("to"));
    everything(&from);
    stdout_of(FLOWANON, ["-q", "-K", KEY, "-r", text(&from), "-w", text(&to)]);
    let file = store::FlowFile::open(&to).unwrap();
    assert_eq!(file.header().creator, store::Creator::NFANON);
    assert_eq!(file.ident(), "none");
    let mut reader = store::BlockReader::new();
    let (mut rows, mut exporters) = (0, 0);
    for n in 0..file.blocks().len() {
        let block = reader.load(&file, n).unwrap();
        assert_eq!(block.damage(), None);
        for row in block.rows.iter() {
            assert_eq!(row.number(Field::RecordFlags) & 4, 4);
            for field in [Field::SrcAs, Field::DstAs, Field::NextAs, Field::PrevAs] {
                assert_eq!(row.number(field), 0, "{field:?}");
            }
            rows += 1;
        }
        exporters += block.meta.len();
    }
    assert_eq!((rows, exporters), (7, 2));
}

#[test]
fn lists_choose_addresses_the_same_way_in_all_files() {
    let scene = Scene::new();
    let from = scene.path("from");
    file_of(&from, 800, "lz4");
    let pairs = |file: &Path| -> Vec<(IpAddr, IpAddr)> {
        let args = ["-q", "-6", "-r", text(file), "-o", "fmt:%sa %da"];
        let text = stdout_of(FLOWDUMP, args);
        let addr = |word: &str| word.parse().expect("address");
        let pair = |line: &str| {
            let mut words = line.split_whitespace();
            (addr(words.next().unwrap()), addr(words.next().unwrap()))
        };
        text.lines().map(pair).collect()
    };
    let before = pairs(&from);
    let made = |name: &str, more: &[&str]| {
        let to = scene.path(name);
        let args = ["-K", KEY, "-r", text(&from), "-w", text(&to)];
        let done = anon(args.into_iter().chain(more.iter().copied()));
        assert!(done.status.success(), "{more:?}: {}", said(&done));
        pairs(&to)
    };
    let all = made("all", &[]);
    let first = match before.iter().find_map(|(a, _)| match a {
        IpAddr::V4(a) => Some(a.octets()[0]),
        IpAddr::V6(_) => None,
    }) {
        Some(octet) => format!("{octet}.0.0.0/8"),
        None => panic!("no IPv4 flow"),
    };
    let listed = scene.path("prefixes");
    fs::write(&listed, format!("# ours\n{first}\n\n")).unwrap();
    let is_in = |addr: &IpAddr| {
        let net: u8 = first.split('.').next().unwrap().parse().unwrap();
        matches!(addr, IpAddr::V4(a) if a.octets()[0] == net)
    };
    let only = made("only", &["--only", &format!("@{}", text(&listed))]);
    let except = made("except", &["--except", &first]);
    let source = made("source", &["-s"]);
    let destination = made("destination", &["-d"]);
    let (mut inside, mut outside) = (0, 0);
    for (i, (old, new)) in before.iter().zip(&all).enumerate() {
        for (old, new, only, except) in
            [(old.0, new.0, only[i].0, except[i].0), (old.1, new.1, only[i].1, except[i].1)]
        {
            let (chosen, rest) = if is_in(&old) { (new, old) } else { (old, new) };
            assert_eq!((only, except), (chosen, rest), "{old}");
            *if is_in(&old) { &mut inside } else { &mut outside } += 1;
        }
        assert_eq!(source[i], (old.0, new.1));
        assert_eq!(destination[i], (new.0, old.1));
    }
    assert!(inside > 0 && outside > 0);
}

/// A collector's directory: three slots, and what lies beside them.
fn archive(scene: &Scene) -> (PathBuf, Vec<PathBuf>) {
    let base = scene.dir("archive");
    fs::create_dir_all(base.join("2026/11/20")).unwrap();
    let files =
        ["2026/11/20/nfcapd.202611201000", "2026/11/20/nfcapd.202611201005", "nfcapd.202611201010"];
    let files: Vec<_> = files.iter().map(|name| base.join(name)).collect();
    for (n, file) in files.iter().enumerate() {
        file_of(file, 300 + n as u64, ["lz4", "none", "zstd"][n]);
        statement(&base, file).append(&base).unwrap();
        fs::write(store::side::path(file, "damaged"), b"192.0.2.1").unwrap();
    }
    for kind in ["state", "sockets", "unknown", "counters.20261120"] {
        fs::write(store::side::of_directory(&base, kind), b"192.0.2.1").unwrap();
    }
    (base, files)
}

fn statement(base: &Path, file: &Path) -> Statement {
    let exporter = ExporterStatement {
        number: 1,
        address: "192.0.2.1".parse().unwrap(),
        ..ExporterStatement::default()
    };
    let loss = Loss {
        place: Place::Kernel,
        what: "socket drops".into(),
        unit: "datagrams".into(),
        count: 5,
        shared: false,
    };
    Statement {
        file: text(file.strip_prefix(base).unwrap()).to_owned(),
        ident: "border".into(),
        losses: vec![loss],
        exporters: vec![exporter],
        ..Statement::default()
    }
}

fn side_files(dir: &Path) -> Vec<String> {
    let mut all: Vec<String> = store::side::list(dir)
        .iter()
        .map(|p| p.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    all.sort();
    all
}

#[test]
fn a_directory_is_anonymised_in_place_with_what_lies_beside_the_files() {
    let scene = Scene::new();
    let (base, files) = archive(&scene);
    let outside = scene.path("outside");
    file_of(&outside, 20, "none");
    let elsewhere = fs::read(&outside).unwrap();
    symlink(&outside, base.join("nfcapd.202611201015")).unwrap();
    fs::set_permissions(&files[0], fs::Permissions::from_mode(0o640)).unwrap();
    let times: Vec<_> = files.iter().map(|f| f.metadata().unwrap().modified().unwrap()).collect();
    let before: Vec<_> = files.iter().map(|f| list(FLOWDUMP, f, "any")).collect();
    let key = scene.path("key");
    fs::write(&key, format!("{KEY}\nnot this\n")).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let args = ["--key-file", text(&key), "-r", text(&base)];
    let done = anon(args);
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    assert!(done.stdout.is_empty());
    for want in [
        "others may read it",
        "1 links to files elsewhere left out",
        "3 files with 903 flows anonymised",
        "7 side files with original addresses removed, exporters taken out of 3 statements of loss",
    ] {
        assert!(said(&done).contains(want), "{want}: {}", said(&done));
    }
    for (n, file) in files.iter().enumerate() {
        let now = list(FLOWDUMP, file, "any");
        assert!(now.len() == before[n].len() && now != before[n]);
        // Another state of the file, for an index, and the same time for everybody else.
        let later = times[n] + std::time::Duration::from_nanos(1);
        assert_eq!(file.metadata().unwrap().modified().unwrap(), later);
        let mut all = Statements::new();
        let told = all.of(file).unwrap();
        assert_eq!((told[0].losses.len(), told[0].exporters.len()), (1, 0));
        assert_eq!(told[0].ident, "none");
    }
    assert_eq!(files[0].metadata().unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(fs::read(&outside).unwrap(), elsewhere);
    assert_eq!(side_files(&base), [".flowsuite-loss.20261120.no-pcap"]);
    assert_eq!(side_files(&base.join("2026/11/20")), Vec::<String>::new());
    // Again: nothing changes, whatever was left beside is found.
    let octets: Vec<_> = files.iter().map(|f| fs::read(f).unwrap()).collect();
    fs::write(store::side::path(&files[1], "damaged"), b"192.0.2.1").unwrap();
    let done = anon(args);
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    assert!(said(&done).contains("3 anonymised already"), "{}", said(&done));
    assert!(files.iter().map(|f| fs::read(f).unwrap()).eq(octets.iter().cloned()));
    assert_eq!(side_files(&base.join("2026/11/20")), Vec::<String>::new());
    // Twice, if that is wanted.
    stdout_of(FLOWANON, args.into_iter().chain(["--again"]));
    assert!(files.iter().map(|f| fs::read(f).unwrap()).ne(octets));
}

#[test]
fn one_file_in_place_leaves_what_belongs_to_others_and_says_so() {
    let scene = Scene::new();
    let (base, files) = archive(&scene);
    let done = anon(["-K", KEY, "-r", text(&files[2])]);
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    let left = [
        ".flowsuite-counters.20261120.no-pcap",
        ".flowsuite-loss.20261120.no-pcap",
        ".flowsuite-sockets.no-pcap",
        ".flowsuite-state.no-pcap",
        ".flowsuite-unknown.no-pcap",
    ];
    assert_eq!(side_files(&base), left);
    for name in left.iter().filter(|name| !name.contains("loss")) {
        assert!(said(&done).contains(&format!("{name}: names exporters")), "{}", said(&done));
    }
    let mut all = Statements::new();
    for (file, want) in files.iter().zip([1, 1, 0]) {
        assert_eq!(all.of(file).unwrap()[0].exporters.len(), want);
    }
    // A collector at work keeps what it needs.
    fs::write(base.join("nfcapd.current.4711"), b"").unwrap();
    let done = anon(["-K", KEY, "-r", text(&base)]);
    assert!(side_files(&base).contains(&".flowsuite-state.no-pcap".to_owned()), "{}", said(&done));
    assert!(said(&done).contains(".flowsuite-state.no-pcap: names exporters"), "{}", said(&done));
    assert!(said(&done).contains("nfcapd.current.4711: is being written"), "{}", said(&done));
    // And so does everybody who says so.
    let (base, _) = archive(&Scene::new());
    assert!(!base.exists());
    let scene = Scene::new();
    let (base, _) = archive(&scene);
    let before = side_files(&base);
    stdout_of(FLOWANON, ["-K", KEY, "-r", text(&base), "--keep", "side-files"]);
    assert_eq!(side_files(&base), before);
}

#[test]
fn an_index_of_the_original_addresses_goes_with_them() {
    let scene = Scene::new();
    let base = scene.dir("archive/2026");
    let file = base.join("nfcapd.202611201000");
    file_of(&file, 300, "none");
    let given = [text(&file), text(&base), text(&scene.path("archive"))].map(str::to_owned);
    for (n, from) in given.iter().enumerate() {
        let root = scene.path("archive");
        stdout_of(FLOWDUMP, ["-q", "-R", text(&root), "--index", "build"]);
        assert_eq!(side_files(&root), [".flowsuite-index.20261120.no-pcap"]);
        // The key of another time makes others of them; size and time of the file stay.
        let key = [KEY, "FEDCBA98765432100123456789abcdef"][n % 2];
        let before = file.metadata().unwrap();
        let done = anon(["-K", key, "-r", from, "--again", "--keep", "side-files"]);
        assert_eq!(done.status.code(), Some(0), "{}", said(&done));
        let after = file.metadata().unwrap();
        // A nanosecond makes it another state of the file, for an index.
        let time = before.modified().unwrap() + std::time::Duration::from_nanos(1);
        assert_eq!(after.modified().unwrap(), time);
        assert!(said(&done).contains("1 indexes with original addresses removed"), "{done:?}");
        assert!(side_files(&root).is_empty());
        let new = stdout_of(FLOWDUMP, ["-q", "-r", text(&file), "-6", "-c", "1", "-o", "fmt:%sa"]);
        let filter = format!("src ip {}", new.trim());
        assert!(!list(FLOWDUMP, &file, &filter).is_empty(), "{filter}");
    }
}

#[test]
fn a_file_that_is_written_onto_itself_is_one_in_place() {
    let scene = Scene::new();
    let (_, files) = archive(&scene);
    let link = scene.path("link");
    symlink(&files[2], &link).unwrap();
    for to in [&files[2], &link] {
        let done = anon(["-K", KEY, "-r", text(&files[2]), "-w", text(to)]);
        assert_eq!(done.status.code(), Some(0), "{}", said(&done));
        assert!(!store::side::path(&files[2], "damaged").exists());
        fs::write(store::side::path(&files[2], "damaged"), b"192.0.2.1").unwrap();
    }
    assert!(link.is_symlink());
}

#[test]
fn a_directory_is_written_to_another() {
    let scene = Scene::new();
    let (base, files) = archive(&scene);
    let before: Vec<_> = files.iter().map(|f| fs::read(f).unwrap()).collect();
    let to = scene.path("new/shared");
    stdout_of(FLOWANON, ["-K", KEY, "-r", text(&base), "-w", text(&to), "-W", "1"]);
    let same = scene.path("same");
    stdout_of(FLOWANON, ["-K", KEY, "-r", text(&base), "-w", text(&same), "-W", "7"]);
    for (file, before) in files.iter().zip(before) {
        let below = file.strip_prefix(&base).unwrap();
        assert_eq!(fs::read(file).unwrap(), before);
        let made = fs::read(to.join(below)).unwrap();
        assert!(made == fs::read(same.join(below)).unwrap(), "threads make no difference");
        assert!(made != before);
    }
    assert!(!side_files(&base).is_empty() && side_files(&to).is_empty());
    for (to, want) in
        [(base.join("below"), "in the directory of -r"), (files[0].clone(), "is a file")]
    {
        let done = anon(["-K", KEY, "-r", text(&base), "-w", text(&to)]);
        assert_eq!(done.status.code(), Some(1));
        assert!(said(&done).contains(want), "{}", said(&done));
    }
    // One file into a directory, under its name.
    stdout_of(FLOWANON, ["-K", KEY, "-r", text(&files[2]), "-w", text(&scene.dir("one"))]);
    assert!(scene.path("one/nfcapd.202611201010").is_file());
}

#[test]
fn wrong_keys_and_options_are_told() {
    let scene = Scene::new();
    let file = scene.path("flows");
    file_of(&file, 10, "none");
    let octets = fs::read(&file).unwrap();
    let old = scene.path("nfanon");
    symlink(FLOWANON, &old).unwrap();
    let empty = scene.path("empty");
    fs::write(&empty, "\n").unwrap();
    let r = ["-r", text(&file)];
    let missing = scene.path("missing");
    for (args, status, old_status, want) in [
        (&["-K", "short"][..], 1, 255, "it has 5 octets: a key is 32 characters"),
        (&["-K", &format!("0x{}", "g".repeat(64))], 1, 255, "64 hexadecimal digits"),
        (&["--key-file", text(&empty)], 1, 255, "it has 0 octets"),
        (&["--key-file", text(&missing)], 1, 1, "key file"),
        (&[], 1, 255, "Expect -K <key>"),
        (&["-K", KEY, "-s", "-d"], 1, 255, "-s and -d together"),
        (&["-K", KEY, "--only", "10.0.0.1/8"], 1, 1, "write 10.0.0.0/8"),
        (&["-K", KEY, "--only", ""], 1, 1, "no prefixes"),
        (&["-K", KEY, "--except", "@/nowhere"], 1, 1, "--except /nowhere"),
        (&["-K", KEY, "--truncate4", "33"], 1, 1, "33"),
        (&["-K", KEY, "-r", text(&missing)], 1, 1, "is not a file or directory"),
        (&["-K", KEY, "--nothing"], 1, 0, "unexpected argument"),
    ] {
        let args: Vec<_> = r.into_iter().chain(args.iter().copied()).collect();
        let done = anon(args.iter().copied());
        assert_eq!(done.status.code(), Some(status), "{args:?}");
        assert!(said(&done).contains(want), "{args:?}: {}", said(&done));
        assert!(!said(&done).contains("ggg"), "a key is not repeated");
        let done = run(&old, &args);
        assert_eq!(done.status.code(), Some(old_status), "{args:?}: {}", said(&done));
    }
    assert_eq!(fs::read(&file).unwrap(), octets);
    // A key of zeros is one, and so is one behind @.
    let zeros = format!("0x{}", "0".repeat(64));
    let to = scene.path("to");
    stdout_of(FLOWANON, ["-K", &zeros, "-r", text(&file), "-w", text(&to)]);
    fs::write(&empty, KEY).unwrap();
    stdout_of(FLOWANON, ["-K", &format!("@{}", text(&empty)), "-r", text(&file), "-w", text(&to)]);
}

#[test]
fn the_old_name_prints_what_nfanon_does() {
    let scene = Scene::new();
    let file = scene.path("flows");
    file_of(&file, 10, "none");
    let old = scene.path("nfanon");
    symlink(FLOWANON, &old).unwrap();
    let to = scene.path("to");
    let args = ["-K", KEY, "-r", text(&file), "-w", text(&to)];
    let done = run(&old, args);
    assert_eq!(done.status.code(), Some(0));
    let want = format!("  1 Processing {}\r\nDone\n", text(&file));
    assert_eq!(String::from_utf8_lossy(&done.stdout), want);
    assert!(said(&done).starts_with("Processed 1 files\n"), "{}", said(&done));
    let done = run(&old, args.into_iter().chain(["-q"]));
    assert_eq!((done.stdout, done.stderr), (b"\nDone\n".to_vec(), Vec::new()));
    // Files that cannot be read are no failure to nfanon.
    fs::write(&file, b"no flows").unwrap();
    assert_eq!(run(&old, args).status.code(), Some(0));
    assert_eq!(anon(args).status.code(), Some(1));
}

#[test]
fn damaged_files_are_left_alone_and_do_not_keep_others_back() {
    let scene = Scene::new();
    let base = scene.dir("flows");
    let names = ["nfcapd.202611201000", "nfcapd.202611201005", "nfcapd.202611201010"];
    let files = names.map(|name| base.join(name));
    for file in &files {
        file_of(file, 2000, "lz4");
    }
    let whole = fs::read(&files[0]).unwrap();
    fs::write(&files[0], &whole[..whole.len() / 2]).unwrap();
    let mut damaged = whole.clone();
    // In the first block: it does not unpack any more.
    damaged[52..300].fill(0xFF);
    fs::write(&files[1], &damaged).unwrap();
    let done = anon(["-K", KEY, "-r", text(&base)]);
    assert_eq!(done.status.code(), Some(1));
    assert!(
        said(&done).contains("1 files with 2000 flows anonymised, 2 left alone"),
        "{}",
        said(&done)
    );
    assert_eq!(fs::read(&files[0]).unwrap(), whole[..whole.len() / 2]);
    assert_eq!(fs::read(&files[1]).unwrap(), damaged);
    assert!(fs::read(&files[2]).unwrap() != whole);
    assert_eq!(fs::read_dir(&base).unwrap().count(), 3);
}

#[test]
fn whoever_ends_it_finds_the_old_file_or_the_new_one() {
    let scene = Scene::new();
    let base = scene.dir("flows");
    let file = base.join("nfcapd.202611201000");
    file_of(&file, 20_000, "bz2");
    let before = fs::read(&file).unwrap();
    for signal in ["KILL", "INT"] {
        let child = Command::new(FLOWANON)
            .args(["-q", "-K", KEY, "-W", "1", "-r", text(&base)])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut child = Running(child);
        let is_under_way = || fs::read_dir(&base).unwrap().count() > 1;
        // It may also have come to its end before anybody looked.
        let mut is_over = false;
        wait_until(
            || {
                is_over = child.0.try_wait().unwrap().is_some();
                is_over || is_under_way()
            },
            || "it does nothing".to_owned(),
        );
        let pid = child.0.id().to_string();
        if !is_over {
            assert!(
                Command::new("kill")
                    .args([&format!("-{signal}"), &pid])
                    .status()
                    .unwrap()
                    .success()
            );
        }
        child.0.wait().unwrap();
        let now = fs::read(&file).unwrap();
        if now != before {
            assert_eq!(list(FLOWDUMP, &file, "any").len(), 20_000, "{signal}");
            fs::write(&file, &before).unwrap();
        }
        if signal == "INT" {
            assert_eq!(fs::read_dir(&base).unwrap().count(), 1, "nothing is left behind");
        }
        for entry in fs::read_dir(&base).unwrap().flatten().filter(|e| e.path() != file) {
            fs::remove_file(entry.path()).unwrap();
        }
    }
}

#[test]
fn encrypted_files_need_their_passphrase() {
    let scene = Scene::new();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/layout3/encrypted");
    let (copy, to) = (scene.path("copy"), scene.path("to"));
    fs::copy(&from, &copy).unwrap();
    let args = ["-K", KEY, "-r", text(&copy), "-w", text(&to)];
    // Nobody has sealed this one: whether all of it is there, nobody knows.
    for (more, want) in [
        (&[][..], "passphrase"),
        (&["--passphrase", "other"], "passphrase"),
        (&["--passphrase", "secret"], "repair"),
    ] {
        let done = anon(args.into_iter().chain(more.iter().copied()));
        assert_eq!(done.status.code(), Some(1), "{more:?}: {}", said(&done));
        assert!(said(&done).contains(want), "{more:?}: {}", said(&done));
    }
    assert!(!to.exists());
    assert_eq!(fs::read(&copy).unwrap(), fs::read(&from).unwrap());
}
