use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use http_body_util::BodyExt;
use proptest::prelude::*;

use super::*;

/// What a body says when it is asked: a piece, not yet, or that it is broken.
#[derive(Clone, Debug)]
enum Say {
    Piece(Vec<u8>),
    NotYet,
    Broken,
}

/// A body that says these things in turn, and then that it has ended.
#[derive(Debug)]
struct Script(VecDeque<Say>);

impl Body for Script {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        match self.0.pop_front() {
            Some(Say::Piece(bytes)) => Poll::Ready(Some(Ok(Frame::data(bytes.into())))),
            Some(Say::NotYet) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Say::Broken) => Poll::Ready(Some(Err("broken"))),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.0.iter().map(|say| match say {
            Say::Piece(bytes) => bytes.len() as u64,
            Say::NotYet | Say::Broken => 0,
        });
        SizeHint::with_exact(left.sum())
    }
}

fn script(says: &[Say]) -> Script {
    Script(says.iter().cloned().collect())
}

fn piece(text: &str) -> Say {
    Say::Piece(text.into())
}

/// All of a body, or why it broke.
fn collect(body: impl Body<Data = Bytes, Error = &'static str>) -> Result<Bytes, &'static str> {
    let collected = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    collected.block_on(async { Ok(body.collect().await?.to_bytes()) })
}

type Seen = Arc<Mutex<Vec<(Vec<u8>, Extent)>>>;

fn witness() -> (Seen, Witness) {
    let seen = Seen::default();
    let shared = seen.clone();
    let witness = move |bytes: &[u8], extent| shared.lock().unwrap().push((bytes.into(), extent));
    (seen, Box::new(witness))
}

#[test]
fn what_has_come_is_seen_and_goes_on() {
    let mut body = Glimpsed::new(script(&[piece("ab"), Say::NotYet, piece("cd")]));
    assert_eq!(body.peek(), Some(&b"ab"[..]));
    assert_eq!(body.peek(), Some(&b"ab"[..]), "no more is taken");
    assert_eq!(body.size_hint().exact(), Some(4));
    assert_eq!(collect(body), Ok("abcd".into()));
}

#[test]
fn the_last_frame_of_a_body_is_not_lost_when_it_is_kept() {
    let mut body = Glimpsed::new(script(&[piece("ab")]));
    assert!(body.peek().is_some());
    assert!(
        !body.is_end_stream(),
        "the body itself has ended, and this one has not"
    );
    assert_eq!(collect(body), Ok("ab".into()));
}

#[test]
fn what_has_not_come_is_not_waited_for() {
    let mut body = Glimpsed::new(script(&[Say::NotYet, piece("ab")]));
    assert_eq!(body.peek(), None);
    assert_eq!(collect(body), Ok("ab".into()));
}

#[test]
fn an_end_and_an_error_are_handed_on() {
    let mut ended = Glimpsed::new(script(&[]));
    assert_eq!(ended.peek(), None);
    assert!(ended.is_end_stream());
    assert_eq!(collect(ended), Ok(Bytes::new()));
    let mut broken = Glimpsed::new(script(&[Say::Broken]));
    assert_eq!(broken.peek(), None);
    assert!(!broken.is_end_stream());
    assert_eq!(collect(broken), Err("broken"));
}

#[test]
fn a_witness_is_shown_the_beginning_once() {
    use Extent::{Beginning, Whole};
    for (says, length, expected) in [
        (&[piece("abcd")][..], 4, Some(("abcd", Whole))),
        (
            &[piece("ab"), Say::NotYet, piece("cd")],
            4,
            Some(("abcd", Whole)),
        ),
        (
            &[piece("ab"), piece("cd"), piece("ef")],
            3,
            Some(("abc", Whole)),
        ),
        (&[piece("ab")], 4, Some(("ab", Beginning))),
        (&[piece("ab"), Say::Broken], 4, None),
    ] {
        let (seen, witness) = witness();
        _ = collect(Glimpsed::watched(script(says), length, witness));
        let seen = seen.lock().unwrap().clone();
        let expected = expected.map(|(text, extent)| (text.into(), extent));
        assert_eq!(seen, Vec::from_iter(expected), "{says:?} {length}");
    }
}

#[test]
fn a_body_does_not_show_what_is_in_it() {
    #[derive(Debug)]
    struct Secretive;
    impl Body for Secretive {
        type Data = Bytes;
        type Error = &'static str;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
            Poll::Ready(Some(Ok(Frame::data("secret".into()))))
        }
    }
    let mut body = Glimpsed::new(Secretive);
    assert_eq!(body.peek(), Some(&b"secret"[..]));
    let shown = format!("{body:?}");
    assert!(
        shown.contains("kept") && !shown.contains("secret"),
        "{shown}"
    );
}

fn say() -> impl Strategy<Value = Say> {
    prop_oneof![
        3 => proptest::collection::vec(any::<u8>(), 0..20).prop_map(Say::Piece),
        2 => Just(Say::NotYet),
        1 => Just(Say::Broken),
    ]
}

proptest! {
    #[test]
    fn a_body_that_is_looked_at_is_the_same_byte_for_byte(
        says in proptest::collection::vec(say(), 0..8),
        length in 1..100_usize,
    ) {
        let expected = collect(script(&says));
        let mut peeked = Glimpsed::new(script(&says));
        peeked.peek();
        prop_assert_eq!(collect(peeked), expected.clone());
        let (seen, witness) = witness();
        prop_assert_eq!(collect(Glimpsed::watched(script(&says), length, witness)), expected.clone());
        if let (Ok(all), [(first, _)]) = (expected, &seen.lock().unwrap()[..]) {
            prop_assert_eq!(&all[..all.len().min(length)], &first[..]);
        }
    }
}
