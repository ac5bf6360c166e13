//! What a module may use, given its place in the table.

use crate::{paths, table::Table};

/// The rules of one crate beside the order of its table.
pub(crate) struct Law {
    /// The crate's own name: how its binary spells `crate`.
    pub(crate) package: &'static str,
    /// Foreign crates that only some rooms may use.
    pub(crate) reserved: &'static [(&'static str, &'static [&'static str])],
}

/// One source file.
pub(crate) struct Source {
    /// The path of its module below the crate.
    pub(crate) module: Vec<String>,
    pub(crate) text: String,
}

/// Foreign crates whose business is to wait, to talk or to be random.
const IMPURE_CRATES: [&str; 4] = ["tokio", "hyper", "pingora", "getrandom"];

/// Parts of paths that read a clock, a socket, the environment, a file or randomness.
const IMPURE: [&[&str]; 8] = [
    &["Instant", "now"],
    &["SystemTime", "now"],
    &["TcpStream"],
    &["TcpListener"],
    &["UdpSocket"],
    &["std", "env"],
    &["std", "fs"],
    &["ambient"],
];

impl Law {
    /// Every breach of the table in these sources, each as one sentence.
    pub(crate) fn breaches(&self, table: &Table, sources: &[Source]) -> Vec<String> {
        let mut breaches = Vec::new();
        for room in &table.rooms {
            for name in [&room.name].into_iter().chain(&room.parts) {
                if !sources.iter().any(|s| s.module.join("::") == *name) {
                    breaches.push(format!("`{name}` is in the table and not in the sources"));
                }
            }
        }
        for source in sources {
            let name = source.module.join("::");
            let Some(place) = table.place(&source.module) else {
                breaches.push(format!("`{name}` is not in the table"));
                continue;
            };
            match paths::of(&source.text, &source.module) {
                Ok(paths) => {
                    for path in paths {
                        self.judge(table, place, &name, &path, &mut breaches);
                    }
                }
                Err(error) => breaches.push(format!("`{name}` is not Rust: {error}")),
            }
        }
        breaches
    }

    fn judge(
        &self,
        table: &Table,
        place: usize,
        name: &str,
        path: &[String],
        breaches: &mut Vec<String>,
    ) {
        let spelled = path.join("::");
        if path[0] == "crate" || path[0] == self.package {
            let spelled = format!("crate::{}", path[1..].join("::"));
            match table.place(&path[1..]) {
                None => breaches.push(format!(
                    "`{name}` uses `{spelled}`, which names no room of the table"
                )),
                Some(other) if other > place => {
                    let other = &table.rooms[other].name;
                    breaches.push(format!(
                        "`{name}` uses `{spelled}`, but `{other}` stands below it"
                    ));
                }
                Some(_) => {}
            }
        }
        if table.rooms[place].is_pure && is_impure(path) {
            breaches.push(format!("`{name}` is pure and uses `{spelled}`"));
        }
        for (krate, rooms) in self.reserved {
            let room = table.rooms[place].name.as_str();
            if is_crate(&path[0], krate) && !rooms.contains(&room) {
                let rooms = rooms.join("`, `");
                breaches.push(format!(
                    "`{name}` uses `{spelled}`, which is for `{rooms}` alone"
                ));
            }
        }
    }
}

fn is_impure(path: &[String]) -> bool {
    let foreign = IMPURE_CRATES.iter().any(|name| is_crate(&path[0], name));
    foreign
        || IMPURE
            .iter()
            .any(|part| path.windows(part.len()).any(|window| window == *part))
}

/// Whether `segment` is this crate or one of its family: `hyper` is also `hyper_util`.
fn is_crate(segment: &str, name: &str) -> bool {
    segment
        .strip_prefix(name)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
}
