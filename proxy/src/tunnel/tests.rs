//! The account of a tunnel, without a socket.

use std::time::Duration;

use throughline::phase::Party;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::account::{Account, Side};

#[tokio::test]
async fn what_passes_is_counted_for_its_direction() {
    let account = std::sync::Arc::new(Account::default());
    let ((mut caller, near), (mut server, far)) = (tokio::io::duplex(64), tokio::io::duplex(64));
    let carrying = account.clone();
    let carried = tokio::spawn(async move {
        let mut near = Side::new(near, Party::Client, &carrying);
        let mut far = Side::new(far, Party::Upstream, &carrying);
        tokio::io::copy_bidirectional(&mut near, &mut far).await
    });
    let mut read = [0; 5];
    caller.write_all(b"hello").await.unwrap();
    server.read_exact(&mut read).await.unwrap();
    server.write_all(b"and").await.unwrap();
    caller.read_exact(&mut read[..3]).await.unwrap();
    assert_eq!(account.passed(), (5, 3));
    assert_eq!(account.ends().first, None);
    server.shutdown().await.unwrap();
    assert_eq!(caller.read(&mut read).await.unwrap(), 0);
    caller.write_all(b"more").await.unwrap();
    drop(caller);
    carried.await.unwrap().unwrap();
    assert_eq!(account.passed(), (9, 3));
    let ends = account.ends();
    assert_eq!((ends.first, ends.broken), (Some(Party::Upstream), None));
}

#[tokio::test]
async fn whoever_closes_while_the_other_sends_has_not_broken_off() {
    let account = std::sync::Arc::new(Account::default());
    let (caller, near) = tokio::io::duplex(64);
    let mut near = Side::new(near, Party::Client, &account);
    drop(caller);
    let mut read = [0; 1];
    assert_eq!(near.read(&mut read).await.unwrap(), 0);
    assert!(near.write_all(b"too late").await.is_err());
    let ends = account.ends();
    assert_eq!((ends.first, ends.broken), (Some(Party::Client), None));

    let account = std::sync::Arc::new(Account::default());
    let (caller, near) = tokio::io::duplex(64);
    let mut near = Side::new(near, Party::Client, &account);
    drop(caller);
    assert!(near.write_all(b"nobody is there").await.is_err());
    assert_eq!(account.ends().broken, Some(Party::Client));
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_is_idle_when_nothing_has_passed_for_as_long() {
    let account = std::sync::Arc::new(Account::default());
    let limit = Duration::from_secs(4);
    let (mut caller, near) = tokio::io::duplex(64);
    let mut near = Side::new(near, Party::Client, &account);
    let began = tokio::time::Instant::now();
    let idle = tokio::spawn({
        let account = account.clone();
        async move {
            account.idle(Some(limit)).await;
            tokio::time::Instant::now()
        }
    });
    let mut read = [0; 1];
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(3)).await;
        caller.write_all(b"x").await.unwrap();
        near.read_exact(&mut read).await.unwrap();
    }
    let since = idle.await.unwrap() - began;
    assert!(since >= Duration::from_secs(9) + limit, "{since:?}");
    assert!(
        since <= Duration::from_secs(9) + limit + limit / 4,
        "{since:?}"
    );
    let never = tokio::time::timeout(Duration::from_secs(9_999), account.idle(None));
    assert!(never.await.is_err());
}
