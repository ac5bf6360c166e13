//! What is done for a group while requests come and go: names are looked up, endpoints are checked.

use std::{
    net::SocketAddr,
    sync::{Arc, Weak},
    time::Duration,
};

use http::Uri;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use super::{Check, Endpoint, Group, MOST, address_of};
use crate::pool::Origin;

/// The longest that a check or a look-up may take.
const PATIENCE: Duration = Duration::from_secs(5);

impl Group {
    /// Looks after the group, for as long as anybody else has it.
    pub fn tend(self: &Arc<Self>) -> impl Future<Output = ()> + Send + use<> {
        let (resolve, check) = (self.config.resolve_interval, self.config.check_interval);
        let (names, checks) = (Arc::downgrade(self), Arc::downgrade(self));
        async move {
            let names = every(resolve, names, |group| async move { group.follow().await });
            let checks = every(check, checks, |group| async move { group.check().await });
            tokio::join!(names, checks);
        }
    }

    /// Follows the names of the group to wherever they lead.
    async fn follow(&self) {
        let mut found: Vec<(Uri, Option<SocketAddr>)> = Vec::new();
        for uri in &self.uris {
            let at = self.look_up(uri).await;
            found.extend(at.into_iter().map(|at| (uri.clone(), at)));
        }
        self.lead_to(&found);
    }

    /// All addresses of an upstream; those that it had if they cannot be found.
    async fn look_up(&self, uri: &Uri) -> Vec<Option<SocketAddr>> {
        let had = || {
            let all = self.endpoints();
            let own = all.iter().filter(|one| one.uri() == uri);
            own.map(|one| one.address()).collect()
        };
        if let Some(address) = address_of(uri) {
            return vec![Some(address)];
        }
        let Some(origin) = Origin::of(uri) else {
            return Vec::new();
        };
        let lookup = tokio::net::lookup_host((origin.host(), origin.port()));
        let mut found: Vec<_> = match tokio::time::timeout(PATIENCE, lookup).await {
            Ok(Ok(found)) => found.map(Some).collect(),
            Ok(Err(error)) => {
                tracing::debug!(%error, upstream = %origin, "a name was not found again");
                return had();
            }
            Err(_) => return had(),
        };
        // A resolver turns them round; here their order means nothing.
        found.sort_unstable();
        found.dedup();
        if found.is_empty() { had() } else { found }
    }

    /// Makes the group what was found.
    fn lead_to(&self, found: &[(Uri, Option<SocketAddr>)]) {
        let had = self.endpoints();
        let of = |one: &Endpoint| (one.uri().clone(), one.address());
        if had.iter().map(|one| of(one)).eq(found.iter().cloned()) {
            return;
        }
        let now: Vec<_> = found
            .iter()
            .take(MOST)
            .filter_map(|(uri, address)| {
                let kept = had
                    .iter()
                    .find(|one| one.uri() == uri && one.address() == *address);
                match kept {
                    Some(kept) => Some(kept.clone()),
                    None => self.endpoint(uri, *address),
                }
            })
            .collect();
        let list: Vec<_> = now.iter().map(ToString::to_string).collect();
        tracing::info!(
            route = self.name,
            upstreams = list.join(", "),
            "a route's upstreams"
        );
        self.replace(now);
    }

    /// Checks all endpoints once.
    async fn check(&self) {
        let Some(check) = &self.config.check else {
            return;
        };
        let patience = PATIENCE.min(self.config.check_interval);
        let path: Option<Arc<str>> = match check {
            Check::Connect => None,
            Check::Get(path) => Some(Arc::from(&**path)),
        };
        let mut checks = JoinSet::new();
        let endpoints = self.endpoints();
        for endpoint in &*endpoints {
            let (endpoint, path) = (endpoint.clone(), path.clone());
            checks.spawn(async move {
                let answer = endpoint.upstream().probe(path.as_deref(), patience).await;
                endpoint.checked(answer);
            });
        }
        checks.join_all().await;
    }
}

/// Does `what` every so often, until the group is gone.
async fn every<F: Future<Output = ()> + Send>(
    period: Duration,
    group: Weak<Group>,
    what: impl Fn(Arc<Group>) -> F + Send,
) {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match group.upgrade() {
            Some(group) => what(group).await,
            None => return,
        }
    }
}
