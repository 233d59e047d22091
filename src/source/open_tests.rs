use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

/// All that comes out, and the error that ends it.
fn drain(raw: Vec<u8>, limits: &Limits) -> (Vec<u8>, Option<io::Error>) {
    let mut opened = Opened::over("logs.json", Cursor::new(raw), limits).unwrap();
    let mut bytes = Vec::new();
    let error = opened.read_to_end(&mut bytes).err();
    if error.is_some() {
        assert_eq!(opened.read(&mut [0; 8]).unwrap(), 0, "after an error there is nothing");
    }
    (bytes, error)
}

/// Bytes that compress badly, so that a cut falls into them.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 7u64;
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 56) as u8
        })
        .collect()
}

#[test]
fn content_and_not_the_name_tells_the_compression() {
    let text = b"{\"time\":\"2024-05-17T09:00:00Z\"}\n".as_slice();
    let bom = [b"\xef\xbb\xbf".as_slice(), text].concat();
    let skippable = [b"\x50\x2a\x4d\x18\x02\x00\x00\x00ab".as_slice(), &zstd(text)].concat();
    let cases: [(&str, Vec<u8>, &[u8]); 14] = [
        ("plain", text.to_vec(), text),
        ("plain with a mark", bom.clone(), text),
        ("a mark only", bom[..3].to_vec(), b""),
        ("empty", vec![], b""),
        ("shorter than any magic", b"{".to_vec(), b"{"),
        ("gzip", gzip(text), text),
        ("gzip of nothing", gzip(b""), b""),
        ("gzip of text with a mark", gzip(&bom), text),
        ("two gzip members", [gzip(&text[..5]), gzip(&text[5..])].concat(), text),
        ("empty members around", [gzip(b""), gzip(text), gzip(b"")].concat(), text),
        ("gzip padded with zeros", [gzip(text), vec![0; 1000]].concat(), text),
        ("zstd", zstd(text), text),
        ("two zstd frames", [zstd(&text[..5]), zstd(&text[5..])].concat(), text),
        ("zstd behind a skippable frame", skippable, text),
    ];
    for (what, raw, want) in cases {
        let (bytes, error) = drain(raw, &Limits::default());
        assert!(error.is_none(), "{what}: {error:?}");
        assert_eq!(bytes, want, "{what}");
    }
}

#[test]
fn large_inputs_come_out_whole_and_raw_bytes_are_counted() {
    let text = noise(3_000_000);
    for raw in [gzip(&text), zstd(&text), text.clone()] {
        let length = raw.len() as u64;
        let mut opened = Opened::over("x", Cursor::new(raw), &Limits::default()).unwrap();
        let count = opened.raw_bytes();
        let mut bytes = Vec::new();
        opened.read_to_end(&mut bytes).unwrap();
        assert!(bytes == text);
        assert_eq!(count.load(Ordering::Relaxed), length);
    }
}

#[test]
fn a_truncated_stream_yields_what_is_there_and_then_says_so() {
    let text = noise(1_000_000);
    for (codec, raw) in [(Codec::Gzip, gzip(&text)), (Codec::Zstd, zstd(&text))] {
        for cut in [raw.len() / 2, raw.len() - 1, 5] {
            let (bytes, error) = drain(raw[..cut].to_vec(), &Limits::default());
            assert!(text.starts_with(&bytes));
            // zstd hands out whole blocks of 128 KiB.
            assert!(bytes.len() + (200 << 10) >= cut, "{codec} {cut}: {}", bytes.len());
            let error = error.expect("a truncated stream is an error");
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
            match ReadProblem::of(&error) {
                Some(ReadProblem::Truncated { name, codec: told, bytes: told_bytes }) => {
                    assert_eq!((name.as_str(), *told, *told_bytes), ("logs.json", codec, bytes.len() as u64));
                }
                other => panic!("{codec} {cut}: {other:?}"),
            }
            assert!(error.to_string().starts_with("'logs.json' ends in the middle of its "), "{error}");
        }
    }
}

#[test]
fn damage_is_told_from_truncation() {
    let text = noise(100_000);
    let mut flipped = gzip(&text);
    let last = flipped.len() - 6;
    flipped[last] ^= 0xff;
    let mut method = gzip(&text);
    method[2] = 7;
    let mut frame = zstd(&text);
    frame[4] ^= 0x08;
    for (what, raw) in [
        ("a wrong checksum", flipped),
        ("an unknown method", method),
        ("garbage behind a member", [gzip(&text), b"garbage".to_vec()].concat()),
        ("a reserved bit in a frame's header", frame),
        ("garbage behind a frame", [zstd(&text), b"garbage".to_vec()].concat()),
    ] {
        let (_, error) = drain(raw, &Limits::default());
        let error = error.unwrap_or_else(|| panic!("{what}"));
        assert!(matches!(ReadProblem::of(&error), Some(ReadProblem::Corrupt { .. })), "{what}: {error:?}");
        assert!(error.to_string().starts_with("'logs.json' is damaged"), "{error}");
    }
}

#[test]
fn a_bomb_meets_a_limit() {
    let zeros = vec![0; 4 << 20];
    let tight = Limits { ratio_free_bytes: 1 << 20, max_ratio: 10, ..Limits::default() };
    let small = Limits { max_decompressed_bytes: 1 << 20, ..Limits::default() };
    for raw in [gzip(&zeros), zstd(&zeros)] {
        for (limits, told) in [(tight, "10 times"), (small, "1048576 bytes")] {
            let (bytes, error) = drain(raw.clone(), &limits);
            assert!(bytes.len() >= 1 << 20 && bytes.len() < 2 << 20, "{}", bytes.len());
            let error = error.expect("a bomb is an error");
            assert!(matches!(ReadProblem::of(&error), Some(ReadProblem::Bomb { .. })), "{error:?}");
            assert!(error.to_string().contains(&format!("beyond the limit of {told}")), "{error}");
        }
        let (bytes, error) = drain(raw, &Limits::default());
        assert!(error.is_none() && bytes.len() == zeros.len(), "a small file may compress as it likes");
    }
}

#[test]
fn the_default_ratio_stops_a_gzip_of_zeros_and_lets_logs_through() {
    let bomb = gzip(&vec![0; 1 << 20]).repeat(24);
    let (bytes, error) = drain(bomb, &Limits { ratio_free_bytes: 1 << 20, ..Limits::default() });
    assert!(matches!(error.as_ref().and_then(ReadProblem::of), Some(ReadProblem::Bomb { .. })), "{error:?}");
    assert!(bytes.len() < 20 << 20);
    let mut logs = Vec::new();
    for n in 0..10_000 {
        writeln!(logs, "{{\"time\":\"2024-05-17T09:00:{:02}Z\",\"operationName\":\"SecretGet\",\"n\":{n}}}", n % 60)
            .unwrap();
    }
    let (bytes, error) = drain(gzip(&logs), &Limits { ratio_free_bytes: 0, ..Limits::default() });
    assert!(error.is_none() && bytes == logs);
}

#[test]
fn a_zstd_window_beyond_the_limit_is_refused() {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(24).unwrap();
    encoder.write_all(&noise(1 << 20)).unwrap();
    let raw = encoder.finish().unwrap();
    let (_, error) = drain(raw.clone(), &Limits { zstd_window_log_max: 20, ..Limits::default() });
    let error = error.expect("the window is too large");
    assert!(matches!(ReadProblem::of(&error), Some(ReadProblem::Window { limit_log: 20, .. })), "{error:?}");
    assert!(drain(raw, &Limits::default()).1.is_none());
}

#[test]
fn forms_that_are_not_read_are_named() {
    let cases: [(Vec<u8>, &str); 4] = [
        (b"\xff\xfe\0\0{\0\0\0".to_vec(), "UTF-32 text"),
        (b"PK\x03\x04\x14\0\0\0\x08\0".to_vec(), "a zip archive or an Excel workbook"),
        (b"\xfd7zXZ\0\0\x04".to_vec(), "compressed with xz"),
        (gzip(&gzip(b"{}")), "compressed twice"),
    ];
    for (raw, what) in cases {
        let (bytes, error) = drain(raw, &Limits::default());
        let error = error.unwrap_or_else(|| panic!("{what}"));
        assert!(bytes.is_empty());
        assert!(matches!(ReadProblem::of(&error), Some(ReadProblem::Unsupported { .. })), "{error:?}");
        assert!(error.to_string().starts_with(&format!("'logs.json' is {what}: ")), "{error}");
    }
    let (bytes, error) = drain(vec![0; 100], &Limits::default());
    assert!(error.is_none() && bytes.len() == 100, "NUL bytes are not UTF-16");
}

#[test]
fn text_in_utf16_reads_as_the_text() {
    let text = "{\"time\":\"é😀\"}\r\n".repeat(10_000);
    for (mark, swap) in [(true, false), (true, true), (false, false), (false, true)] {
        let units = mark.then_some(0xfeff).into_iter().chain(text.encode_utf16());
        let raw: Vec<u8> =
            units.flat_map(|unit: u16| if swap { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect();
        for raw in [gzip(&raw), raw] {
            let (bytes, error) = drain(raw, &Limits::default());
            assert!(error.is_none());
            assert!(bytes == text.as_bytes(), "mark {mark}, swapped {swap}");
        }
    }
}

/// Gives two reads, then fails as a share that went away.
struct Failing(u32);

impl Read for Failing {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return Err(io::Error::from_raw_os_error(5));
        }
        self.0 -= 1;
        target.fill(b'x');
        Ok(target.len())
    }
}

#[test]
fn a_failing_disk_is_told_by_its_own_name() {
    let mut opened = Opened::over("logs.json", Failing(2), &Limits::default()).unwrap();
    let mut bytes = Vec::new();
    let error = opened.read_to_end(&mut bytes).unwrap_err();
    assert!(matches!(ReadProblem::of(&error), Some(ReadProblem::Io { .. })), "{error:?}");
    assert!(!bytes.is_empty());

    let mut head = gzip(&noise(100_000));
    head.truncate(50_000);
    let mut opened = Opened::over("logs.json", Cursor::new(head).chain(Failing(0)), &Limits::default()).unwrap();
    let error = opened.read_to_end(&mut bytes).unwrap_err();
    assert!(matches!(ReadProblem::of(&error), Some(ReadProblem::Io { .. })), "no truncation: {error:?}");
}

#[test]
fn a_file_that_vanished_and_a_directory_in_its_place_are_clear_errors() {
    let dir = tempfile::tempdir().unwrap();
    let input = |path: PathBuf| Input { name: "a.json".into(), kind: InputKind::File(path), blob: None, bytes: None };
    let error = open(&input(dir.path().join("a.json")), &Limits::default()).err().unwrap();
    assert!(matches!(error, SourceError::Vanished { .. }), "{error:?}");
    let error = open(&input(dir.path().to_owned()), &Limits::default()).err().unwrap();
    assert!(error.to_string().starts_with("cannot read 'a.json'"), "{error}");
}

#[test]
fn a_file_that_grows_while_it_is_read_is_read_to_its_new_end() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "first line\n").unwrap();
    let input = Input { name: "a".into(), kind: InputKind::File(file.path().into()), blob: None, bytes: Some(11) };
    let mut opened = open(&input, &Limits::default()).unwrap();
    opened.read_exact(&mut [0; 11]).unwrap();
    std::fs::OpenOptions::new().append(true).open(file.path()).unwrap().write_all(b"second\n").unwrap();
    let mut rest = String::new();
    opened.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "second\n");
}

/// The same bytes again and again.
struct Endless(Vec<u8>, usize);

impl Read for Endless {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let length = target.len().min(self.0.len() - self.1);
        target[..length].copy_from_slice(&self.0[self.1..self.1 + length]);
        self.1 = (self.1 + length) % self.0.len();
        Ok(length)
    }
}

#[test]
fn dropping_the_reader_ends_the_thread() {
    // A thread that waits for room in the channel, and one that never sends since its members are empty.
    for member in [gzip(&noise(1 << 20)), gzip(b"")] {
        let opened = Opened::over("x", Endless(member, 0), &Limits::default()).unwrap();
        let count = opened.raw_bytes();
        drop(opened);
        for _ in 0..1000 {
            if Arc::strong_count(&count) == 1 {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(Arc::strong_count(&count), 1, "the thread still holds its counter");
    }
}
