//! OpenTelemetry's variables, as its specification reads them.
//!
//! They differ from our own in two ways: their values have other spellings (milliseconds without a
//! unit, `OTEL_SDK_DISABLED=true`), and a bad one is warned of and then ignored, as if it were not
//! set. An empty one is not set. So this room translates each into the spelling of our settings and
//! keeps only what is a value there.
//!
//! <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>

use std::collections::BTreeMap;

use throughline::{propagation::Format, sample::Sampler};

use super::{
    layer::{Entry, Layer},
    origin::{Source, Warning},
    settings::find,
    value::{Attributes, Value},
};

/// The settings among `OTEL_*`, and what was wrong with others.
pub(crate) fn parse(environment: &BTreeMap<String, String>) -> (Layer, Vec<Warning>) {
    let mut reader = Reader {
        environment,
        layer: Layer::new(),
        warnings: Vec::new(),
    };
    reader.take("name", &["OTEL_SERVICE_NAME"], same);
    reader.take("resource_attributes", &["OTEL_RESOURCE_ATTRIBUTES"], same);
    reader.name_from_attributes();
    reader.take("tracing", &["OTEL_SDK_DISABLED"], disabled);
    reader.propagators();
    reader.sampler();
    reader.exporter();
    reader.otlp();
    for (key, variable) in [
        ("span_queue_size", "OTEL_BSP_MAX_QUEUE_SIZE"),
        ("span_batch_size", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"),
    ] {
        reader.take(key, &[variable], same);
    }
    // A delay of nothing means "at once"; a millisecond keeps the exporter from spinning.
    reader.take("span_batch_delay", &["OTEL_BSP_SCHEDULE_DELAY"], |text| {
        milliseconds(text, "1ms")
    });
    reader.take("span_export_timeout", &["OTEL_BSP_EXPORT_TIMEOUT"], timeout);
    (reader.layer, reader.warnings)
}

struct Reader<'e> {
    environment: &'e BTreeMap<String, String>,
    layer: Layer,
    warnings: Vec<Warning>,
}

impl<'e> Reader<'e> {
    /// The text of a variable that is set to something.
    fn text(&self, variable: &str) -> Option<&'e str> {
        let text = self.environment.get(variable)?.trim();
        (!text.is_empty()).then_some(text)
    }

    fn warn(&mut self, variable: &str, why: &str) {
        self.warnings.push(Warning(format!("{variable}: {why}")));
    }

    /// Notes `text` as the value of a setting, if it can be; says whether it could.
    fn offer(&mut self, key: &'static str, variable: &str, text: String) -> bool {
        let setting = find(key).expect("the keys of this file are in the table");
        let entry = Entry::new(text, Source::Environment(variable.to_owned()));
        match (setting.check)(&entry.written) {
            Ok(()) => {
                self.layer.insert(key, entry);
                true
            }
            Err(bad) => {
                self.warn(variable, &format!("{}; it is ignored", bad.why));
                false
            }
        }
    }

    /// Takes a setting from the first of these variables that has a value for it.
    fn take(
        &mut self,
        key: &'static str,
        variables: &[&str],
        translate: fn(&str) -> Result<String, String>,
    ) {
        for variable in variables {
            let Some(text) = self.text(variable) else {
                continue;
            };
            match translate(text) {
                Ok(text) => {
                    if self.offer(key, variable, text) {
                        return;
                    }
                }
                Err(why) => self.warn(variable, &format!("{why}; it is ignored")),
            }
        }
    }

    /// `service.name` among the attributes is the name where `OTEL_SERVICE_NAME` gives none.
    fn name_from_attributes(&mut self) {
        if self.layer.contains_key("name") {
            return;
        }
        let attributes = self.layer.get("resource_attributes");
        let attributes = attributes.and_then(|entry| Attributes::parse(&entry.written).ok());
        let name = attributes
            .as_ref()
            .and_then(|all| all.value("service.name"));
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            self.offer("name", "OTEL_RESOURCE_ATTRIBUTES", name.to_owned());
        }
    }

    /// Formats that we do not have are left out, one by one.
    fn propagators(&mut self) {
        const VARIABLE: &str = "OTEL_PROPAGATORS";
        let Some(text) = self.text(VARIABLE) else {
            return;
        };
        let mut known = Vec::new();
        for name in text
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
        {
            match name.to_lowercase().parse::<Format>() {
                Ok(format) => known.push(format.name()),
                Err(_) if name == "none" => known.push("none"),
                Err(unknown) => self.warn(VARIABLE, &format!("{unknown}; it is left out")),
            }
        }
        if known.len() > 1 {
            known.retain(|name| *name != "none");
        }
        if !known.is_empty() {
            self.offer("propagators", VARIABLE, known.join(","));
        }
    }

    /// A bad argument is ignored without its sampler, as the specification says.
    fn sampler(&mut self) {
        const NAME: &str = "OTEL_TRACES_SAMPLER";
        const ARGUMENT: &str = "OTEL_TRACES_SAMPLER_ARG";
        let Some(name) = self.text(NAME).map(str::to_lowercase) else {
            return;
        };
        // Only the ratio has an argument.
        let argument = self
            .text(ARGUMENT)
            .filter(|_| name.ends_with("traceidratio"));
        let Some(argument) = argument else {
            self.offer("sampler", NAME, name);
            return;
        };
        match (
            Sampler::from_otel(&name, None),
            Sampler::from_otel(&name, Some(argument)),
        ) {
            (Ok(_), Err(_)) => {
                self.warn(
                    ARGUMENT,
                    &format!("{argument:?} is not a ratio between 0 and 1; it is ignored"),
                );
                self.offer("sampler", NAME, name);
            }
            // The name is checked, and what is wrong with it said, where it is offered.
            (Err(_), _) => {
                self.offer("sampler", NAME, name);
            }
            (Ok(_), Ok(_)) => {
                self.offer("sampler", NAME, format!("{name}={argument}"));
            }
        }
    }

    /// Of a list, `otlp` is taken, and what we do not have is warned of.
    fn exporter(&mut self) {
        const VARIABLE: &str = "OTEL_TRACES_EXPORTER";
        let Some(text) = self.text(VARIABLE) else {
            return;
        };
        let mut chosen = None;
        for name in text.split(',').map(|name| name.trim().to_lowercase()) {
            match name.as_str() {
                "otlp" => chosen = Some("otlp"),
                "none" => chosen = chosen.or(Some("none")),
                _ => self.warn(
                    VARIABLE,
                    &format!("no exporter is called {name:?}, only otlp and none; it is left out"),
                ),
            }
        }
        if let Some(chosen) = chosen {
            self.offer("exporter", VARIABLE, chosen.to_owned());
        }
    }

    /// Each variable for traces is stronger than the one for everything.
    fn otlp(&mut self) {
        const TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
        const GENERAL: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
        // The one for traces is used as it is, its path being `/` where there is none, and the
        // general one gets the path of the signal behind its own.
        let traces = self.text(TRACES).map(|text| {
            let host_only = text
                .split_once("://")
                .is_some_and(|(_, rest)| !rest.contains('/'));
            format!("{text}{}", if host_only { "/" } else { "" })
        });
        let general = self
            .text(GENERAL)
            .map(|text| format!("{}/v1/traces", text.trim_end_matches('/')));
        for (variable, url) in [(TRACES, traces), (GENERAL, general)] {
            if url.is_some_and(|url| self.offer("otlp_endpoint", variable, url)) {
                break;
            }
        }
        self.json();
        for (key, suffix, translate) in [
            ("otlp_protocol", "PROTOCOL", protocol as fn(&str) -> _),
            ("otlp_headers", "HEADERS", same),
            ("otlp_compression", "COMPRESSION", lower),
            ("otlp_timeout", "TIMEOUT", timeout),
            ("otlp_certificate", "CERTIFICATE", same),
        ] {
            let traces = format!("OTEL_EXPORTER_OTLP_TRACES_{suffix}");
            let general = format!("OTEL_EXPORTER_OTLP_{suffix}");
            self.take(key, &[&traces, &general], translate);
        }
    }

    /// Says that JSON is not spoken; every collector that takes it takes protobuf too.
    fn json(&mut self) {
        for variable in [
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
            "OTEL_EXPORTER_OTLP_PROTOCOL",
        ] {
            if self
                .text(variable)
                .is_some_and(|text| text.eq_ignore_ascii_case("http/json"))
            {
                self.warn(
                    variable,
                    "http/json is not spoken; http/protobuf is used instead",
                );
            }
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "it stands where others can fail")]
fn same(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

#[expect(clippy::unnecessary_wraps, reason = "it stands where others can fail")]
fn lower(text: &str) -> Result<String, String> {
    Ok(text.to_lowercase())
}

#[expect(clippy::unnecessary_wraps, reason = "it stands where others can fail")]
fn protocol(text: &str) -> Result<String, String> {
    let text = text.to_lowercase();
    Ok(if text == "http/json" {
        "http/protobuf".to_owned()
    } else {
        text
    })
}

/// Everything but `true` is false; what is neither is also warned of.
fn disabled(text: &str) -> Result<String, String> {
    match text.to_lowercase().as_str() {
        "true" => Ok("off".to_owned()),
        "false" => Ok("on".to_owned()),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

/// Milliseconds, none of which stands for no limit: that is given a day, the longest that any
/// setting can have.
fn timeout(text: &str) -> Result<String, String> {
    milliseconds(text, "24h")
}

fn milliseconds(text: &str, zero: &str) -> Result<String, String> {
    match text.parse::<u64>() {
        Ok(0) => Ok(zero.to_owned()),
        Ok(millis) => Ok(format!("{millis}ms")),
        Err(_) => Err(format!("{text:?} is no whole number of milliseconds")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asserts what a setting is translated to, and what the warnings contain.
    fn check(pairs: &[(&str, &str)], key: &str, expected: Option<&str>, warned: &[&str]) {
        let environment = pairs
            .iter()
            .map(|&(k, v)| (k.to_owned(), v.to_owned()))
            .collect();
        let (layer, warnings) = parse(&environment);
        let shown = layer.get(key).map(|entry| entry.written.text());
        assert_eq!(shown.as_deref(), expected, "{pairs:?}");
        let warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
        assert_eq!(warnings.len(), warned.len(), "{pairs:?}: {warnings:?}");
        for (warning, part) in warnings.iter().zip(warned) {
            assert!(warning.contains(part), "{pairs:?}: {warning}");
        }
    }

    #[test]
    fn the_name_comes_from_its_variable_or_the_attributes() {
        let attributes = (
            "OTEL_RESOURCE_ATTRIBUTES",
            "a=1,service.name=from%20attributes",
        );
        check(&[attributes], "name", Some("from attributes"), &[]);
        check(
            &[attributes, ("OTEL_SERVICE_NAME", "x")],
            "name",
            Some("x"),
            &[],
        );
        check(
            &[("OTEL_RESOURCE_ATTRIBUTES", "a=1,broken")],
            "resource_attributes",
            None,
            &["OTEL_RESOURCE_ATTRIBUTES: pairs are written key=value"],
        );
    }

    #[test]
    fn an_empty_variable_is_not_set() {
        check(&[("OTEL_SERVICE_NAME", " ")], "name", None, &[]);
        check(&[("OTEL_PROPAGATORS", "")], "propagators", None, &[]);
    }

    #[test]
    fn bad_values_warn_and_are_ignored() {
        for (variable, value, key) in [
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "span_queue_size"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "many", "span_queue_size"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "-1", "span_batch_size"),
            ("OTEL_BSP_SCHEDULE_DELAY", "5s", "span_batch_delay"),
            ("OTEL_BSP_EXPORT_TIMEOUT", "-5", "span_export_timeout"),
            ("OTEL_TRACES_SAMPLER", "jaeger_remote", "sampler"),
            ("OTEL_TRACES_EXPORTER", "zipkin", "exporter"),
            ("OTEL_PROPAGATORS", "ottrace", "propagators"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "udp", "otlp_protocol"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "otlp_compression"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon", "otlp_timeout"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "nonsense", "otlp_headers"),
            (
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                "collector:4318",
                "otlp_endpoint",
            ),
            ("OTEL_SDK_DISABLED", "yes", "tracing"),
        ] {
            check(&[(variable, value)], key, None, &[variable]);
        }
    }

    #[test]
    fn milliseconds_become_times() {
        check(
            &[("OTEL_BSP_SCHEDULE_DELAY", "200")],
            "span_batch_delay",
            Some("200ms"),
            &[],
        );
        check(
            &[("OTEL_BSP_SCHEDULE_DELAY", "0")],
            "span_batch_delay",
            Some("1ms"),
            &[],
        );
        check(
            &[("OTEL_EXPORTER_OTLP_TIMEOUT", "0")],
            "otlp_timeout",
            Some("24h"),
            &[],
        );
    }

    #[test]
    fn what_is_for_traces_is_stronger() {
        let general = ("OTEL_EXPORTER_OTLP_TIMEOUT", "1");
        check(
            &[general, ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "2")],
            "otlp_timeout",
            Some("2ms"),
            &[],
        );
        check(
            &[general, ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "x")],
            "otlp_timeout",
            Some("1ms"),
            &["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT"],
        );
    }

    #[test]
    fn only_the_general_endpoint_gets_the_path_of_the_signal() {
        for (variable, given, expected) in [
            (
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                "http://c:1",
                "http://c:1/v1/traces",
            ),
            (
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                "http://c:1/",
                "http://c:1/v1/traces",
            ),
            (
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                "http://c/otlp",
                "http://c/otlp/v1/traces",
            ),
            (
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
                "http://c:1",
                "http://c:1/",
            ),
            (
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
                "http://c/otlp",
                "http://c/otlp",
            ),
        ] {
            check(&[(variable, given)], "otlp_endpoint", Some(expected), &[]);
        }
        check(
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:1"),
                ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://d:1/x"),
            ],
            "otlp_endpoint",
            Some("http://d:1/x"),
            &[],
        );
    }

    #[test]
    fn samplers_take_their_argument() {
        let ratio = ("OTEL_TRACES_SAMPLER", "traceidratio");
        check(&[ratio], "sampler", Some("traceidratio"), &[]);
        check(
            &[ratio, ("OTEL_TRACES_SAMPLER_ARG", "0.5")],
            "sampler",
            Some("traceidratio=0.5"),
            &[],
        );
        check(
            &[ratio, ("OTEL_TRACES_SAMPLER_ARG", "half")],
            "sampler",
            Some("traceidratio"),
            &["OTEL_TRACES_SAMPLER_ARG"],
        );
    }

    #[test]
    fn lists_keep_what_is_known() {
        check(
            &[("OTEL_PROPAGATORS", "ottrace,b3,tracecontext,XRay")],
            "propagators",
            Some("b3,tracecontext,xray"),
            &["\"ottrace\""],
        );
        check(
            &[("OTEL_PROPAGATORS", "none")],
            "propagators",
            Some("none"),
            &[],
        );
        check(
            &[("OTEL_TRACES_EXPORTER", "console,otlp")],
            "exporter",
            Some("otlp"),
            &["console"],
        );
        check(
            &[("OTEL_TRACES_EXPORTER", "none")],
            "exporter",
            Some("none"),
            &[],
        );
    }

    #[test]
    fn the_sdk_can_be_disabled_and_json_becomes_protobuf() {
        check(
            &[("OTEL_SDK_DISABLED", "True")],
            "tracing",
            Some("off"),
            &[],
        );
        check(
            &[("OTEL_SDK_DISABLED", "false")],
            "tracing",
            Some("on"),
            &[],
        );
        check(
            &[("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")],
            "otlp_protocol",
            Some("http/protobuf"),
            &["http/json is not spoken"],
        );
    }
}
