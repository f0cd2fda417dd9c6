//! Real requests on loopback.

use super::*;
use crate::{FetchError, fetch};
use std::time::Duration;
use sys::clock;

const LONG: Duration = Duration::from_secs(600);

fn patient() -> Options {
    // As many connections as it takes: those that are over may be counted for a moment yet.
    Options { connections: 10_000, request: LONG, answer: LONG }
}

/// Runs a server of one page.
fn with_server(options: Options, f: impl FnOnce(SocketAddr, &Shared)) {
    let pages = |request: &Request<'_>| match request.path {
        "/healthz" => Answer::text("200 OK", "ok\n"),
        _ => Answer::text("404 Not Found", request.query),
    };
    let server = Server::bind(([127, 0, 0, 1], 0).into(), options, Box::new(pages)).unwrap();
    let (addr, shared) = (server.local_addr(), Arc::clone(&server.shared));
    let stop = Stop::new().unwrap();
    thread::scope(|scope| {
        let guard = Guard(&stop);
        let thread = scope.spawn(|| server.run(&stop));
        f(addr, &shared);
        drop(guard);
        thread.join().unwrap().unwrap();
    });
}

/// Ends the thread of a test also where it fails.
struct Guard<'a>(&'a Stop);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
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
    with_server(patient(), |addr, _| {
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
    with_server(options, |addr, shared| {
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
    with_server(options, |addr, shared| {
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
fn answers_of_others_are_not_believed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    for (answer, want) in [
        (&b"220 mail.example ESMTP\r\n"[..], "no HTTP"),
        (b"", "no HTTP"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "no HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok", "is the program running"),
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
