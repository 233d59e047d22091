//! The API and the page of the running program.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::support::{Place, lines, secret_get};

/// A served store; ends with the test.
struct Served {
    child: Child,
    address: String,
    _place: Place,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Served {
    /// The main job on the sample logs, served on a free port.
    fn start() -> Served {
        let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/sample-logs");
        Served::by(Place::new(), &["run", "--listen", "127.0.0.1:0", sample])
    }

    /// A command that serves.
    fn by(place: Place, args: &[&str]) -> Served {
        let mut child =
            place.command(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let line = stderr
            .lines()
            .map_while(Result::ok)
            .find(|line| line.contains("serving http://"))
            .expect("the program says where it serves");
        let address =
            line.split("http://").nth(1).expect("an address").split('/').next().expect("an address").to_owned();
        Served { child, address, _place: place }
    }

    /// A plain HTTP/1.1 request, so that Host and Origin can be anything.
    fn ask(&self, path: &str, host: &str, more: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).expect("a connection");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n").expect("a request");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        let status = text.split_whitespace().nth(1).and_then(|s| s.parse().ok()).expect("a status");
        (status, text.split_once("\r\n\r\n").expect("a body").1.to_owned())
    }

    fn json(&self, path: &str) -> Value {
        let (status, body) = self.ask(path, &self.address, "");
        assert_eq!(status, 200, "{path}: {body}");
        let body = body.lines().find(|l| l.starts_with('{')).unwrap_or(&body);
        serde_json::from_str(body).unwrap_or_else(|e| panic!("{path}: {e}: {body}"))
    }
}

#[test]
fn the_main_job_serves_alerts_that_filter_page_and_show() {
    let served = Served::start();
    assert_eq!(served.ask("/healthz", &served.address, "").0, 200);
    let all = served.json("/api/v1/alerts?limit=500");
    let alerts = all["alerts"].as_array().expect("alerts");
    assert_eq!(all["total"].as_u64(), Some(alerts.len() as u64));
    assert!(alerts.len() >= 4, "{all}");

    // Paging one by one gives the same alerts in the same order.
    let mut paged = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = served.json(&format!("/api/v1/alerts?limit=1{cursor}"));
        paged.extend(page["alerts"].as_array().unwrap().clone());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(&paged, alerts);

    for alert in alerts {
        let one = served.json(&format!("/api/v1/alerts/{}", alert["alert_id"].as_str().unwrap()));
        assert_eq!(one["alert_id"], alert["alert_id"]);
    }
    for (filter, field) in [("rule=mass_secret_read", "rule_id"), ("severity=high", "severity")] {
        let value = filter.split('=').nth(1).unwrap();
        let some = served.json(&format!("/api/v1/alerts?{filter}"));
        let some = some["alerts"].as_array().unwrap();
        assert!(!some.is_empty() && some.iter().all(|a| a[field] == value), "{filter}");
    }
    let (status, page) = served.ask("/", &served.address, "");
    assert!(status == 200 && page.contains("<html") && page.contains("mass_secret_read"), "{page}");
    assert_eq!(served.ask("/api/v1/alerts/ffffffffffffffffffffffffffffffff", &served.address, "").0, 404);
    assert_eq!(served.ask("/api/v1/alerts?colour=red", &served.address, "").0, 400);
}

#[test]
fn a_page_of_another_site_cannot_read_alerts() {
    let served = Served::start();
    let port = served.address.rsplit(':').next().unwrap().to_owned();
    for (host, more, status) in [
        (served.address.clone(), String::new(), 200),
        (format!("localhost:{port}"), String::new(), 200),
        (format!("localhost:{port}"), format!("Origin: http://localhost:{port}\r\n"), 200),
        ("evil.example".to_owned(), String::new(), 403),
        (format!("127.0.0.1.evil.example:{port}"), String::new(), 403),
        (format!("localhost:{port}"), "Origin: https://evil.example\r\n".to_owned(), 403),
        (format!("localhost:{port}"), "Origin: null\r\n".to_owned(), 403),
    ] {
        for path in ["/api/v1/alerts", "/"] {
            assert_eq!(served.ask(path, &host, &more).0, status, "{path} {host} {more}");
        }
    }
}

/// Memory of a process in MiB, at most until now.
fn peak(id: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib / 1024)
}

#[test]
fn three_hundred_clients_that_read_nothing_hold_neither_memory_nor_server() {
    const CLIENTS: usize = 300;
    let place = Place::new();
    // Five hundred callers, each with an alert of some ten kilobytes.
    let records: Vec<Value> = (0..500)
        .map(|n| {
            let mut record = secret_get(n, n as f64);
            record["identity"]["claim"]["oid"] = format!("{n:08x}-0000-4000-8000-000000000000").into();
            record
        })
        .collect();
    place.ingest(&place.file("a.json", lines(&records)));
    let rule = include_str!("../../src/detection/testdata/busy_caller.sql")
        .replace("default = 5", "default = 1")
        .replace(" principal_id, object_name, time\n", " principal_id, object_name, request_uri, time\n")
        .replace("max(time) AS last_call", "max(repeat(request_uri, 100)) AS much");
    place.file("rules/busy_caller.sql", rule);
    let config = place.file("k.toml", "[rules]\nfolder = 'rules'\n");
    place.run(&["--config", &config.to_string_lossy(), "detect", "--rule", "busy_caller"]).code(0);
    let served = Served::by(place, &["serve", "--listen", "127.0.0.1:0"]);
    let idle = peak(served.child.id());
    let whole = served.ask("/api/v1/alerts?limit=500", &served.address, "").1.len();
    assert!(whole > 4 << 20, "{whole} bytes are an answer that is worth the test");
    let clients: Vec<TcpStream> = (0..CLIENTS)
        .map(|_| {
            let mut stream = TcpStream::connect(&served.address).expect("a connection");
            let host = &served.address;
            write!(stream, "GET /api/v1/alerts?limit=500 HTTP/1.1\r\nHost: {host}\r\n\r\n").expect("a request");
            stream
        })
        .collect();
    // Others are served all the while, if only with the word that they may come back.
    for _ in 0..5 {
        assert_eq!(served.ask("/healthz", &served.address, "").0, 200);
        let (status, _) = served.ask("/api/v1/alerts?limit=1", &served.address, "");
        assert!(status == 200 || status == 503, "{status}");
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
    if let (Some(idle), Some(peak)) = (idle, peak(served.child.id())) {
        assert!(peak < idle + 250, "{idle} MiB at first, {peak} MiB with all of them");
    }
    let mut told = 0;
    for mut client in clients {
        client.set_read_timeout(Some(std::time::Duration::from_secs(120))).expect("a timeout");
        let mut head = [0; 4096];
        let read = client.read(&mut head).unwrap_or(0);
        let head = String::from_utf8_lossy(&head[..read]).to_lowercase();
        told += usize::from(head.starts_with("http/1.1 503") && head.contains("retry-after: "));
        assert!(read == 0 || head.starts_with("http/1.1 503") || head.starts_with("http/1.1 200"), "{head}");
    }
    assert!(told > 0, "some are told to come back");
    assert_eq!(served.ask("/api/v1/alerts?limit=1", &served.address, "").0, 200);
}
