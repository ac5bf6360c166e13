//! One word out of few, and text that is passed on.

use std::path::PathBuf;

use http::HeaderName;
use throughline::{propagation::Format, sample::Sampler};

use super::{Bad, Scalar};
use crate::{
    access_log::{Format as LineFormat, Target},
    export::otlp::{Compression, Protocol as OtlpProtocol},
    log, pool,
    values::Source,
};

/// Text that is passed on as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) String);

impl Scalar for Text {
    fn from_text(text: &str) -> Result<Self, Bad> {
        if text.chars().any(char::is_control) {
            return Err(Bad::new("control characters are not allowed"));
        }
        Ok(Self(text.to_owned()))
    }

    fn to_text(&self) -> String {
        self.0.clone()
    }
}

/// A path of the file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FilePath(pub(crate) Option<PathBuf>);

impl Scalar for FilePath {
    fn from_text(text: &str) -> Result<Self, Bad> {
        Ok(Self((!text.is_empty()).then(|| PathBuf::from(text))))
    }

    fn to_text(&self) -> String {
        self.0
            .as_ref()
            .map_or_else(String::new, |path| path.display().to_string())
    }
}

impl Scalar for pool::Protocol {
    fn from_text(text: &str) -> Result<Self, Bad> {
        match text {
            "auto" => Ok(Self::Auto),
            "http1" => Ok(Self::Http1),
            "h2c" => Ok(Self::H2c),
            _ => Err(Bad::new("the protocols are auto, http1 and h2c")),
        }
    }

    fn to_text(&self) -> String {
        match self {
            Self::Auto => "auto",
            Self::Http1 => "http1",
            Self::H2c => "h2c",
        }
        .to_owned()
    }
}

impl Scalar for HeaderName {
    fn from_text(text: &str) -> Result<Self, Bad> {
        text.parse().map_err(|_| {
            Bad::new(format!(
                "{text:?} is no name of a header, as x-request-id is"
            ))
        })
    }

    fn to_text(&self) -> String {
        self.as_str().to_owned()
    }
}

impl Scalar for Format {
    fn from_text(text: &str) -> Result<Self, Bad> {
        text.parse()
            .map_err(|unknown| Bad::new(format!("{unknown}")))
    }

    fn to_text(&self) -> String {
        self.name().to_owned()
    }
}

/// A sampler, with the name that it was asked for by.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NamedSampler {
    pub(crate) sampler: Sampler,
    name: String,
}

impl Scalar for NamedSampler {
    fn from_text(text: &str) -> Result<Self, Bad> {
        match text.parse() {
            Ok(sampler) => Ok(Self {
                sampler,
                name: text.to_owned(),
            }),
            Err(invalid) => Err(Bad::new(format!("{invalid}"))),
        }
    }

    fn to_text(&self) -> String {
        self.name.clone()
    }
}

/// How much is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Level(pub(crate) &'static str);

impl Scalar for Level {
    fn from_text(text: &str) -> Result<Self, Bad> {
        log::known(text)
            .map(Self)
            .ok_or_else(|| Bad::new("the levels are off, error, warn, info, debug and trace"))
    }

    fn to_text(&self) -> String {
        self.0.to_owned()
    }
}

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AccessTarget(pub(crate) Target);

impl Scalar for AccessTarget {
    fn from_text(text: &str) -> Result<Self, Bad> {
        match text {
            "off" => Ok(Self(Target::Off)),
            "stdout" => Ok(Self(Target::Stdout)),
            "" => Err(Bad::new(
                "it goes to stdout or a file, or is off; `./off` is a file of that name",
            )),
            path => Ok(Self(Target::File(PathBuf::from(path)))),
        }
    }

    fn to_text(&self) -> String {
        match &self.0 {
            Target::Off => "off".to_owned(),
            Target::Stdout => "stdout".to_owned(),
            Target::File(path) => path.display().to_string(),
        }
    }
}

/// How the access log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AccessFormat(pub(crate) LineFormat);

impl Scalar for AccessFormat {
    fn from_text(text: &str) -> Result<Self, Bad> {
        match text {
            "json" => Ok(Self(LineFormat::Json)),
            "text" => Ok(Self(LineFormat::Text)),
            _ => Err(Bad::new("a line is either json or text")),
        }
    }

    fn to_text(&self) -> String {
        match self.0 {
            LineFormat::Json => "json",
            LineFormat::Text => "text",
        }
        .to_owned()
    }
}

/// `on` or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Switch(pub(crate) bool);

impl Scalar for Switch {
    fn from_text(text: &str) -> Result<Self, Bad> {
        match text {
            "on" | "true" => Ok(Self(true)),
            "off" | "false" => Ok(Self(false)),
            _ => Err(Bad::new("it is either on or off")),
        }
    }

    fn to_text(&self) -> String {
        if self.0 { "on" } else { "off" }.to_owned()
    }
}

impl Scalar for Source {
    fn from_text(text: &str) -> Result<Self, Bad> {
        match text {
            "path" => Ok(Self::Path),
            "query" => Ok(Self::Query),
            "headers" => Ok(Self::Headers),
            "body" => Ok(Self::Body),
            _ => Err(Bad::new(format!(
                "no part of a request is called {text:?}; known are path, query, headers, body"
            ))),
        }
    }

    fn to_text(&self) -> String {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Headers => "headers",
            Self::Body => "body",
        }
        .to_owned()
    }
}

/// Whether spans leave the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exporter {
    /// As OTLP where an endpoint is given, else not at all.
    Auto,
    /// As OTLP, to the default endpoint where none is given.
    Otlp,
    /// Not at all.
    None,
}

impl Scalar for Exporter {
    fn from_text(text: &str) -> Result<Self, Bad> {
        match text {
            "auto" => Ok(Self::Auto),
            "otlp" => Ok(Self::Otlp),
            "none" => Ok(Self::None),
            _ => Err(Bad::new("the exporters are auto, otlp and none")),
        }
    }

    fn to_text(&self) -> String {
        match self {
            Self::Auto => "auto",
            Self::Otlp => "otlp",
            Self::None => "none",
        }
        .to_owned()
    }
}

impl Scalar for OtlpProtocol {
    fn from_text(text: &str) -> Result<Self, Bad> {
        match text {
            "grpc" => Ok(Self::Grpc),
            "http/protobuf" => Ok(Self::HttpProtobuf),
            _ => Err(Bad::new("the protocols of OTLP are http/protobuf and grpc")),
        }
    }

    fn to_text(&self) -> String {
        match self {
            Self::Grpc => "grpc",
            Self::HttpProtobuf => "http/protobuf",
        }
        .to_owned()
    }
}

impl Scalar for Compression {
    fn from_text(text: &str) -> Result<Self, Bad> {
        match text {
            "none" => Ok(Self::None),
            "gzip" => Ok(Self::Gzip),
            _ => Err(Bad::new("the compressions are none and gzip")),
        }
    }

    fn to_text(&self) -> String {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
        }
        .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{List, Workers, tests::check},
        *,
    };

    #[test]
    fn words_are_refused_with_those_that_exist() {
        check::<pool::Protocol>(&[("h2c", Ok("h2c")), ("h3", Err("auto, http1 and h2c"))]);
        check::<OtlpProtocol>(&[("grpc", Ok("grpc")), ("udp", Err("http/protobuf and grpc"))]);
        check::<Compression>(&[("gzip", Ok("gzip")), ("zip", Err("none and gzip"))]);
        check::<List<Source>>(&[
            ("path, body", Ok("path,body")),
            ("none", Ok("none")),
            ("path,cookies", Err("known are path, query, headers, body")),
            ("", Err("or none")),
        ]);
        check::<Exporter>(&[("otlp", Ok("otlp")), ("x", Err("auto, otlp and none"))]);
        check::<Switch>(&[
            ("on", Ok("on")),
            ("false", Ok("off")),
            ("x", Err("on or off")),
        ]);
        check::<Level>(&[("INFO", Ok("info")), ("loud", Err("off, error, warn"))]);
        check::<Workers>(&[("auto", Ok("auto")), ("2", Ok("2")), ("0", Err("or auto"))]);
        check::<NamedSampler>(&[
            ("traceidratio=0.5", Ok("traceidratio=0.5")),
            ("sometimes", Err("always_on")),
        ]);
    }
}
