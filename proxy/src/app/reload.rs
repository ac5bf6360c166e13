//! Another configuration, while requests go on: on SIGHUP, and when its file is another.
//!
//! The sources are read again and checked whole. What is wrong is refused with its reason, and what was
//! in effect stays; else new requests see what is new, and what needs another process is named. No
//! request is touched that is under way.
//!
//! The file is looked at by its name once in a while, since that is what holds for an edit, a rename and
//! the symbolic links of a Kubernetes volume alike. It must be the same twice in a row: whoever writes
//! it may not have finished.

use std::{
    fs::Metadata,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use throughline::ambient;
use tokio::sync::{mpsc, watch};

use super::{cannot_log, stacks::Stacks};
use crate::{
    admin::{Configured, Setting},
    config::{self, Config, Origin, Reloaded, Resolved, Sources},
    export::{Exporter, Resource, otlp::Otlp},
    log::Log,
    tls::Tls,
};

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What can be read again, and what it is compared with.
#[derive(Debug)]
pub struct Watched {
    /// Where the configuration comes from.
    pub sources: Sources,
    /// What it was at the start.
    pub resolved: Resolved,
    /// Whose level is part of it.
    pub log: Log,
}

/// Reads a configuration again and puts it into effect.
#[derive(Debug)]
pub(super) struct Reload {
    watched: Watched,
    stacks: Stacks,
    tls: Tls,
    configured: Configured,
    /// Whether what was read last cannot be used.
    is_refused: bool,
    /// How long a shutdown may take.
    grace: watch::Sender<Duration>,
}

impl Reload {
    pub(super) fn new(
        watched: Watched,
        stacks: Stacks,
        tls: Tls,
        configured: Configured,
        grace: watch::Sender<Duration>,
    ) -> Self {
        configured.started(settings(&watched.resolved.origins));
        Self {
            watched,
            stacks,
            tls,
            configured,
            is_refused: false,
            grace,
        }
    }

    /// Reloads whenever it is asked to, or the file is another, for ever.
    pub(super) async fn run(mut self, mut asked: mpsc::Receiver<()>) {
        let mut file = self.watched.sources.path.clone().map(File::new);
        loop {
            let is_asked = tokio::select! {
                asked = asked.recv() => match asked {
                    Some(()) => true,
                    None => return,
                },
                () = tokio::time::sleep(LOOK), if file.is_some() => false,
            };
            let has_changed = match &mut file {
                Some(file) => file.look(is_asked),
                None => false,
            };
            if is_asked || has_changed {
                self.reload(is_asked).await;
            }
        }
    }

    /// Reads everything again. What was asked for is said to be done even where nothing is new.
    async fn reload(&mut self, is_asked: bool) {
        let sources = self.watched.sources.clone();
        // A file may lie where it takes long to read.
        let read = tokio::task::spawn_blocking(move || {
            let sources = sources.reread()?;
            let resolved = config::resolve(&sources)?;
            let command = !sources.detected.command.is_empty();
            resolved.config.runnable(&resolved.origins, command)?;
            Ok::<_, config::Error>((sources, resolved))
        });
        let applied = match read.await {
            Ok(Ok((sources, resolved))) => {
                if !is_asked && !self.is_refused && sources.file == self.watched.sources.file {
                    return;
                }
                self.apply(sources, resolved)
            }
            Ok(Err(error)) => Err(error.into()),
            Err(error) => Err(error.into()),
        };
        self.is_refused = applied.is_err();
        if let Err(error) = applied {
            let why = format!("{error:#}");
            tracing::error!("the configuration is not reloaded, and stays as it was: {why}");
            self.configured.refused(ambient::wall(), why);
        }
    }

    /// Puts it into effect. What can fail comes first (whatever is read from other files, too), so that
    /// all of it is or nothing.
    fn apply(&mut self, sources: Sources, read: Resolved) -> anyhow::Result<()> {
        let Reloaded {
            resolved,
            changed,
            needs_restart,
        } = config::reload(&self.watched.resolved, read);
        let config = &resolved.config;
        let pipeline = &self.stacks.pipeline;
        let before = &self.watched.resolved.config;
        let exporter = exporter(config, before)?;
        Tls::check(&config.tls)?;
        if config.access_log == before.access_log {
            pipeline.access_log().reopen();
        } else {
            let log = pipeline.access_log().configure(&config.access_log);
            log.with_context(|| cannot_log(&config.access_log))?;
        }
        if let Some(exporter) = exporter {
            pipeline.export_by(exporter);
        }
        // Always: it may have been changed by hand in between.
        self.watched.log.set(&config.log);
        self.grace.send_replace(config.shutdown_grace);
        self.tls.reconfigure(config.tls.clone())?;
        self.stacks.renew(config);

        for warning in &resolved.warnings {
            tracing::warn!("{warning}");
        }
        match &changed[..] {
            [] => tracing::info!("the configuration is reloaded; nothing in it has changed"),
            changed => {
                tracing::info!("the configuration is reloaded: {}", changed.join(", "));
            }
        }
        if !needs_restart.is_empty() {
            let keys = needs_restart.join(", ");
            tracing::warn!("changed, but in effect only after a restart: {keys}");
        }
        let settings = settings(&resolved.origins);
        self.configured
            .applied(ambient::wall(), settings, needs_restart);
        self.watched.sources = sources;
        self.watched.resolved = resolved;
        Ok(())
    }
}

/// The exporter, where it is to be another.
fn exporter(config: &Config, before: &Config) -> anyhow::Result<Option<Arc<dyn Exporter>>> {
    let otlp = |config: &Config| config.tracing.as_ref()?.otlp.clone();
    let (Some(tracing), Some(otlp), true) =
        (&config.tracing, otlp(config), otlp(config) != otlp(before))
    else {
        return Ok(None);
    };
    let resource = Resource::new(&config.name, tracing.resource.clone());
    let otlp = Otlp::new(&otlp, &resource).context("spans cannot be exported")?;
    Ok(Some(Arc::new(otlp)))
}

fn settings(origins: &[Origin]) -> Vec<Setting> {
    let setting = |origin: &Origin| Setting {
        key: origin.key,
        value: origin.value.clone(),
        source: origin.source.to_string(),
    };
    origins.iter().map(setting).collect()
}

/// The file of the configuration, as far as can be told without reading it.
#[derive(Debug)]
struct File {
    path: PathBuf,
    /// How it was when it was last read.
    read: Option<Identity>,
    /// How it was when it was last looked at.
    seen: Option<Identity>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    file: (u64, u64),
    modified: (i64, i64),
    size: u64,
}

impl File {
    fn new(path: PathBuf) -> Self {
        let now = identity(&path);
        Self {
            path,
            read: now,
            seen: now,
        }
    }

    /// Whether it is another than was read, and seen for the second time. Where it is read in any case,
    /// that is not asked.
    fn look(&mut self, is_read: bool) -> bool {
        let now = identity(&self.path);
        let is_settled = now.is_some() && now == self.seen && now != self.read;
        self.seen = now;
        if is_settled || is_read {
            self.read = now;
        }
        is_settled
    }
}

/// Of the file that all links lead to; `None` while there is none.
fn identity(path: &Path) -> Option<Identity> {
    let of = |about: Metadata| Identity {
        file: (about.dev(), about.ino()),
        modified: (about.mtime(), about.mtime_nsec()),
        size: about.len(),
    };
    std::fs::metadata(path).ok().map(of)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn a_file_counts_when_it_was_seen_twice() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("t.yaml");
        fs::write(&path, "app: 1\n").unwrap();
        let mut file = File::new(path.clone());
        assert!(!file.look(false));
        fs::write(&path, "app: 12\n").unwrap();
        assert!(!file.look(false), "it may not be whole");
        fs::write(&path, "app: 123\n").unwrap();
        assert!(!file.look(false), "nor now");
        assert!(file.look(false));
        assert!(!file.look(false), "once is enough");
        fs::remove_file(&path).unwrap();
        assert!(
            !file.look(false) && !file.look(false),
            "there is nothing to read"
        );
        fs::write(&path, "app: 1234\n").unwrap();
        assert!(!file.look(false) && file.look(false));
        fs::write(&path, "app: 12345\n").unwrap();
        assert!(!file.look(true), "it is read in any case");
        assert!(!file.look(false), "and has been");
    }

    #[test]
    fn a_link_that_leads_elsewhere_is_another_file() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for version in ["v1", "v2"] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("t.yaml"), "app: 1\n").unwrap();
        }
        // As Kubernetes does it: the file leads to the data, and the data to a version.
        symlink("v1", at("..data")).unwrap();
        symlink("..data/t.yaml", at("t.yaml")).unwrap();
        let mut file = File::new(at("t.yaml"));
        symlink("v2", at("..new")).unwrap();
        fs::rename(at("..new"), at("..data")).unwrap();
        assert!(!file.look(false));
        assert!(file.look(false));
    }
}
