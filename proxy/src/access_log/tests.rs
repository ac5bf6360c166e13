use std::{fs, io::Read, os::unix::fs::symlink, path::Path, time::SystemTime};

use throughline::{
    ambient,
    context::{TraceContext, TraceFlags},
    span::Kind,
};

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

fn to(path: &Path) -> Config {
    Config {
        target: Target::File(path.to_owned()),
        format: Format::Text,
    }
}

fn log_to(path: &Path) -> AccessLog {
    let log = AccessLog::new("orders");
    log.configure(&to(path)).unwrap();
    log
}

fn span(path: &str) -> Box<Span> {
    let context = TraceContext::new(
        ambient::trace_id(),
        ambient::span_id(),
        TraceFlags::default(),
    );
    let mut span = Span::new(Kind::Server, &context, SystemTime::UNIX_EPOCH);
    span.path = path.into();
    Box::new(span)
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let end = ambient::now() + PATIENCE;
    while !is_so() {
        assert!(ambient::now() < end, "{what}");
        thread::yield_now();
    }
}

/// The paths that lines name, in their order.
fn paths(text: &str) -> Vec<String> {
    let lines = text.lines();
    let path = |line: &str| {
        let (_, rest) = line.split_once(" path=").expect("a whole line");
        rest.split(' ').next().map(str::to_owned)
    };
    lines.filter_map(path).collect()
}

#[test]
fn what_is_offered_is_written_at_the_end_of_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    fs::write(&path, "before\n").unwrap();
    let log = log_to(&path);
    for n in 0..3000 {
        log.offer(span(&format!("/{n}")));
    }
    log.close(PATIENCE);
    let text = fs::read_to_string(&path).unwrap();
    let expected: Vec<_> = (0..3000).map(|n| format!("/{n}")).collect();
    assert_eq!(paths(text.strip_prefix("before\n").unwrap()), expected);
    assert_eq!(log.written(), 3000);
    assert_eq!(Reason::ALL.map(|reason| log.dropped(reason)), [0, 0, 0]);
}

#[test]
fn one_that_is_off_takes_nothing_and_starts_nothing() {
    let log = AccessLog::new("orders");
    log.configure(&Config::default()).unwrap();
    assert!(!log.is_on());
    log.offer(span("/"));
    log.close(PATIENCE);
    assert!(log.0.running.get().is_none());
    assert_eq!(log.written(), 0);
}

#[test]
fn a_file_that_cannot_be_opened_is_refused_and_all_stays_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let log = log_to(&path);
    assert!(
        log.configure(&to(&directory.path().join("none/log")))
            .is_err()
    );
    assert!(log.configure(&to(directory.path())).is_err());
    log.offer(span("/a"));
    log.close(PATIENCE);
    assert_eq!(paths(&fs::read_to_string(&path).unwrap()), ["/a"]);
}

#[test]
fn a_file_that_was_moved_away_is_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let [path, moved] = ["log", "log.1"].map(|name| directory.path().join(name));
    let log = log_to(&path);
    log.offer(span("/old"));
    until("the first line", || log.written() == 1);
    fs::rename(&path, &moved).unwrap();
    log.offer(span("/still_old"));
    until("the second line", || log.written() == 2);
    log.reopen();
    until("the new file", || path.exists());
    log.offer(span("/new"));
    log.close(PATIENCE);
    assert_eq!(
        paths(&fs::read_to_string(&moved).unwrap()),
        ["/old", "/still_old"]
    );
    assert_eq!(paths(&fs::read_to_string(&path).unwrap()), ["/new"]);
}

#[test]
fn a_full_disk_costs_lines_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    // Each write there fails as on a disk that is full.
    symlink("/dev/full", &path).unwrap();
    let log = log_to(&path);
    log.offer(span("/lost"));
    until("the loss", || log.dropped(Reason::WriteFailed) == 1);
    fs::remove_file(&path).unwrap();
    // Nobody says that there is room again.
    until("another file", || path.exists());
    log.offer(span("/kept"));
    log.close(PATIENCE);
    assert_eq!(paths(&fs::read_to_string(&path).unwrap()), ["/kept"]);
    assert_eq!((log.written(), log.dropped(Reason::WriteFailed)), (1, 1));
}

#[test]
fn a_line_that_was_cut_off_does_not_spoil_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pipe");
    let (mut reader, mut destination) = pipe(&path);
    let line = [[b'x'; 999].as_slice(), b"\n"].concat();
    let lines = line.repeat(1000);
    // It is not read, and takes only so much.
    let (written, result) = destination.write(&lines, || false);
    assert!(result.is_err());
    assert_eq!(written.lines + written.lost, 1000);
    let mut text = vec![0; 1 << 20];
    let read = reader.read(&mut text).unwrap();
    let is_torn = read % 1000 != 0;
    let (written, result) = destination.write(b"whole\n", || false);
    assert!(result.is_ok() && written.lines == 1);
    drop(destination);
    text.clear();
    reader.read_to_end(&mut text).unwrap();
    let expected = if is_torn { "\nwhole\n" } else { "whole\n" };
    assert_eq!(String::from_utf8(text).unwrap(), expected);
}

#[test]
fn a_reader_that_sleeps_costs_lines_beyond_the_queue_and_does_not_hold_up_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pipe");
    let (reader, _) = pipe(&path);
    let log = log_to(&path);
    let mut offered = 0;
    while log.dropped(Reason::QueueFull) == 0 {
        log.offer(span("/"));
        offered += 1;
        assert!(offered < 1_000_000);
    }
    log.close(Duration::from_millis(1));
    until("the end of the thread", || {
        log.written()
            + Reason::ALL
                .map(|reason| log.dropped(reason))
                .iter()
                .sum::<u64>()
            == offered
    });
    // Which of the two depends on who comes first to what was left.
    assert!(log.dropped(Reason::Shutdown) + log.dropped(Reason::WriteFailed) > 0);
    drop(reader);
}

/// Both ends of a named pipe.
fn pipe(path: &Path) -> (fs::File, Destination) {
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mkfifoat(rustix::fs::CWD, path, mode).unwrap();
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK;
    let reader = rustix::fs::open(path, flags, rustix::fs::Mode::empty()).unwrap();
    let destination = Destination::open(&Target::File(path.to_owned())).unwrap();
    (reader.into(), destination.unwrap())
}
