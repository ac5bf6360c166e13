//! The table of settings as text: an example file and a reference.

use std::fmt::{self, Write};

use super::{
    env,
    settings::{Setting, TABLE},
};

/// A commented example file. Every setting is in it, commented out with a single `#`.
pub(crate) fn example() -> String {
    let mut out = "# throughline's configuration. Every setting is here, commented out.\n\
        # A flag or a variable of the environment is stronger than this file.\n"
        .to_owned();
    write_groups(&mut out, |out, setting, first| {
        if let Some(group) = first {
            writeln!(out, "\n\n# {group}")?;
        }
        writeln!(out)?;
        for line in wrap(&setting.doc(), 96) {
            writeln!(out, "# {line}")?;
        }
        if !setting.default.is_empty() {
            writeln!(out, "# Default: {}", setting.default)?;
        }
        writeln!(out, "#{}: {}", setting.key, setting.example)
    });
    out
}

/// The reference in Markdown.
pub(crate) fn reference() -> String {
    let mut out = format!(
        "# Settings\n\n\
         A setting has one name in three spellings: `header_timeout` in the file is \
         `--header-timeout` as a flag and `THROUGHLINE_HEADER_TIMEOUT` in the environment. The \
         stronger source wins: flag, `THROUGHLINE_*`, `OTEL_*`, file, what was detected, default.\n\n\
         The file is YAML (so JSON too). Its path is given with `--config` or in `{}`, or its whole \
         text in `{}`.\n\n\
         Times are whole numbers with `ms`, `s`, `m` or `h`, sizes with `B`, `KiB` or `MiB`.\n",
        env::FILE,
        env::CONTENT
    );
    write_groups(&mut out, |out, setting, first| {
        if let Some(group) = first {
            write!(out, "\n## {group}\n\n")?;
            writeln!(out, "| setting | default | also | what it does |")?;
            writeln!(out, "|---|---|---|---|")?;
        }
        let code = |text: &str| match text {
            "" => String::new(),
            text => format!("`{text}`"),
        };
        let otel: Vec<_> = setting.otel.iter().map(|name| code(name)).collect();
        writeln!(
            out,
            "| {} | {} | {} | {} |",
            code(setting.key),
            code(setting.default),
            otel.join(", "),
            setting.doc().replace('|', "\\|")
        )
    });
    out
}

/// Writes each setting, and says with the first of a group which group begins.
fn write_groups(
    out: &mut String,
    write: impl Fn(&mut String, &Setting, Option<&'static str>) -> fmt::Result,
) {
    let mut group = None;
    for setting in TABLE {
        let first = (group != Some(setting.group)).then_some(setting.group);
        group = Some(setting.group);
        write(out, setting, first).expect("writing to a string does not fail");
    }
}

/// Words in lines of at most `width` characters, where no word is longer.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::{super::file, *};

    #[test]
    fn nothing_is_missing_from_the_reference() {
        let reference = reference();
        for setting in TABLE {
            let line = format!("| `{}` |", setting.key);
            let line = reference.lines().find(|l| l.starts_with(&line));
            let line = line.expect(setting.key);
            assert!(line.contains(&setting.doc().replace('|', "\\|")), "{line}");
            assert!(
                setting.otel.iter().all(|name| line.contains(name)),
                "{line}"
            );
        }
    }

    #[test]
    fn the_example_is_a_configuration_with_and_without_its_comments() {
        let example = example();
        assert!(file::parse("t.yaml", &example).unwrap().is_empty());
        let uncommented: String = example
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(setting) if !setting.starts_with(' ') => format!("{setting}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        let layer = file::parse("t.yaml", &uncommented).unwrap();
        for setting in TABLE {
            let entry = layer.get(setting.key).expect(setting.key);
            assert_eq!((setting.check)(&entry.written), Ok(()), "{}", setting.key);
        }
    }
}
