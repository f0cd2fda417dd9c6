//! Real requests on loopback.

use super::*;
use crate::metrics::tests::{full, parse};
use crate::status::{Details, SourceDetails};
use std::sync::atomic::AtomicBool;

const LONG: Duration = Duration::from_secs(600);

fn patient() -> Options {
    // As many connections as it takes: those that are over may be counted for a moment yet.
    let connections = 10_000;
    Options { connections, request: LONG, details: LONG, answer: LONG, ..Options::default() }
}

/// Runs a server, with somebody who answers what is asked of the board.
fn with_server(board: &Board, options: Options, f: impl FnOnce(SocketAddr, &Shared)) {
    let server = Server::bind(([127, 0, 0, 1], 0).into(), board.clone(), options).unwrap();
    let (addr, shared) = (server.local_addr(), Arc::clone(&server.shared));
    let (stop, is_over) = (Stop::new().unwrap(), AtomicBool::new(false));
    thread::scope(|scope| {
        let guard = Guard(&stop, &is_over);
        let thread = scope.spawn(|| server.run(&stop));
        scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                if let Some(request) = board.request() {
                    let core = SourceDetails { ident: "core".into(), ..SourceDetails::default() };
                    board.answer(request, Details { at_ms: 1, sources: vec![core] });
                }
                thread::sleep(Duration::from_millis(1));
            }
        });
        f(addr, &shared);
        drop(guard);
        thread.join().unwrap().unwrap();
    });
}

/// Ends the threads of a test also where it fails.
struct Guard<'a>(&'a Stop, &'a AtomicBool);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.1.store(true, Ordering::SeqCst);
        self.0.request();
    }
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = clock::monotonic();
    while !is_so() {
        assert!(start.elapsed() < LONG, "still not: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Sends octets and returns all that comes back.
fn talk(addr: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let _ = stream.write_all(request); // may have been refused already
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

fn board_of(status: &Status) -> Board {
    let board = Board::new();
    board.publish(|s| *s = status.clone());
    board
}

#[test]
fn every_page_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let mut status = full();
    status.sources[0].dir = dir.path().to_owned();
    with_server(&board_of(&status), patient(), |addr, _| {
        let get = |path: &str| String::from_utf8(fetch(addr, path).unwrap()).unwrap();
        let metrics = parse(&get("/metrics"));
        assert_eq!(metrics["flowcapd_healthy"].samples[&vec![]], 1.0);
        assert_eq!(metrics["flowcapd_disk_free_bytes"].samples.len(), 1);
        assert!(metrics["flowcapd_cpu_seconds_total"].samples[&vec![]] >= 0.0);
        assert!(metrics["flowcapd_memory_peak_bytes"].samples[&vec![]] > 0.0);
        assert_eq!(get("/healthz"), "ok\n");
        let json = |path: &str| serde_json::from_str::<serde_json::Value>(&get(path)).unwrap();
        assert_eq!(json("/status")["sources"][0]["account"]["received"], 101);
        assert_eq!(json("/templates")["sources"][0]["ident"], "core");
        assert_eq!(json("/unknown")["sources"][0]["ident"], "core");
        assert_eq!(get("/templates?format=text"), "source core\n  no templates\n");
        assert!(get("/unknown?format=text").starts_with("source core\n"));
        assert_eq!(get("/"), PAGES);
        let error = fetch(addr, "/nothing").unwrap_err().to_string();
        assert!(error.contains("404 Not Found: /metrics "), "{error}");
    });
}

#[test]
fn scrapers_get_the_dialect_they_ask_for() {
    with_server(&board_of(&full()), patient(), |addr, _| {
        for (accept, content_type, end) in [
            ("text/plain", "text/plain; version=0.0.4; charset=utf-8", false),
            (
                "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
                true,
            ),
        ] {
            let request = format!("GET /metrics HTTP/1.1\r\nHost: x\r\naccept: {accept}\r\n\r\n");
            let answer = talk(addr, request.as_bytes());
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
            assert!(head.contains(&format!("\r\nContent-Type: {content_type}\r\n")), "{head}");
            assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
            assert_eq!(body.ends_with("# EOF\n"), end);
            parse(body);
        }
    });
}

#[test]
fn health_tells_what_is_wrong() {
    let mut status = full();
    status.sources[0].ident = "core".into();
    status.sources[0].trouble = Some("no space left".into());
    with_server(&board_of(&status), patient(), |addr, _| {
        let answer = talk(addr, b"GET /healthz HTTP/1.0\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nsource core: no space left\n"), "{answer}");
        let error = fetch(addr, "/healthz").unwrap_err();
        assert!(matches!(error, FetchError::Refused { ref reason, .. } if reason.contains("core")));
        assert_eq!(parse_metric(addr, "flowcapd_healthy"), 0.0);
    });
}

fn parse_metric(addr: SocketAddr, name: &str) -> f64 {
    let text = String::from_utf8(fetch(addr, "/metrics").unwrap()).unwrap();
    parse(&text)[name].samples[&vec![]]
}

#[test]
fn requests_of_all_kinds_are_survived() {
    let long = [&b"GET /metrics HTTP/1.1\r\nX: "[..], &[b'x'; 20_000]].concat();
    let many = [&b"GET /healthz HTTP/1.1\r\n"[..], &b"A: b\r\n".repeat(1000), b"\r\n"].concat();
    let cases: [(&str, &[u8], &str); 11] = [
        ("post", b"POST /metrics HTTP/1.1\r\n\r\n", "405"),
        ("no path", b"GET HTTP/1.1\r\n\r\n", "400"),
        ("four words", b"GET / x HTTP/1.1\r\n\r\n", "400"),
        ("another protocol", b"\x16\x03\x01\r\n\r\n", "400"),
        ("no text", b"GET /\xff\xfe HTTP/1.1\r\n\r\n", "400"),
        ("version", b"GET / HTTP/2.0\r\n\r\n", "400"),
        ("whole address", b"GET http://x/ HTTP/1.1\r\n\r\n", "400"),
        ("up the tree", b"GET /../../etc/passwd HTTP/1.1\r\n\r\n", "404"),
        ("empty", b"\r\n\r\n", "400"),
        ("many headers", &many, "200"),
        ("more behind", b"GET /healthz HTTP/1.1\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n", "200"),
    ];
    with_server(&board_of(&full()), patient(), |addr, _| {
        for (name, request, want) in cases {
            let answer = talk(addr, request);
            assert!(answer.starts_with(&format!("HTTP/1.1 {want} ")), "{name}: {answer}");
            assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{name}");
        }
        let answer = talk(addr, b"HEAD /healthz HTTP/1.1\r\n\r\n");
        assert!(answer.contains("Content-Length: 3") && answer.ends_with("\r\n\r\n"), "{answer}");
        // Whoever goes on after the limit may be reset before the answer gets through.
        let answer = talk(addr, &long);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
        let whole = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
        for len in 0..whole.len() {
            let mut stream = TcpStream::connect(addr).unwrap();
            stream.write_all(&whole[..len]).unwrap();
            drop(stream);
        }
        for len in 1..whole.len() {
            let mut stream = TcpStream::connect(addr).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.write_all(&whole[..len]).unwrap();
            stream.write_all(&whole[len..]).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.ends_with("ok\n"), "cut at {len}: {answer}");
        }
    });
}

#[test]
fn heads_end_at_their_empty_line_however_they_are_cut() {
    let whole = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nmore";
    for cut in 0..whole.len() - 4 {
        let (first, second) = whole.split_at(cut);
        let head = read_head(&mut first.chain(second)).unwrap();
        assert_eq!(head, b"GET /healthz HTTP/1.1\r\nHost: x", "cut at {cut}");
        assert!(read_head(&mut &whole[..cut.min(whole.len() - 5)]).is_err(), "{cut} octets");
    }
}

#[test]
fn slow_clients_are_given_up() {
    let request = Duration::from_millis(50);
    let options = Options { request, ..patient() };
    with_server(&board_of(&full()), options, |addr, shared| {
        let mut drip = TcpStream::connect(addr).unwrap();
        drip.set_read_timeout(Some(LONG)).unwrap();
        let mut sent = 0;
        // An octet now and then keeps no connection open.
        while drip.write_all(b"G").is_ok() {
            sent += 1;
            assert!(sent < 8000, "still open");
            thread::sleep(Duration::from_millis(1));
        }
        until("all closed", || shared.open.load(Ordering::SeqCst) == 0);
        until("an answer in time", || fetch(addr, "/healthz").is_ok_and(|body| body == b"ok\n"));
    });
}

#[test]
fn there_are_only_so_many_connections() {
    let options = Options { connections: 3, ..patient() };
    with_server(&board_of(&full()), options, |addr, shared| {
        let held: Vec<_> = (0..3).map(|_| TcpStream::connect(addr).unwrap()).collect();
        until("three", || shared.open.load(Ordering::SeqCst) == 3);
        assert_eq!(talk(addr, b"GET /healthz HTTP/1.1\r\n\r\n"), "");
        assert!(matches!(
            fetch(addr, "/healthz"),
            Err(FetchError::Io { .. } | FetchError::NotHttp { .. })
        ));
        drop(held);
        until("none", || shared.open.load(Ordering::SeqCst) == 0);
        assert_eq!(fetch(addr, "/healthz").unwrap(), b"ok\n");
    });
}

#[test]
fn details_that_do_not_come_are_an_error() {
    let board = Board::new(); // nobody answers
    let server = Server::bind(
        ([127, 0, 0, 1], 0).into(),
        board,
        Options { details: Duration::from_millis(1), ..patient() },
    );
    let answer = server.unwrap().shared.answer(&Request {
        path: "/templates",
        query: "",
        is_head: false,
        format: Format::Prometheus,
    });
    assert_eq!(answer.status, "503 Service Unavailable");
}

#[test]
fn answers_of_others_are_not_believed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    for (answer, want) in [
        (&b"220 mail.example ESMTP\r\n"[..], "no HTTP"),
        (b"", "no HTTP"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "no HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok", "is the collector running"),
        (b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno", "500 No: no"),
    ] {
        thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                read_head(&mut stream).unwrap();
                stream.write_all(answer).unwrap();
            });
            let error = fetch(addr, "/status").unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        });
    }
}
