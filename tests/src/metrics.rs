//! The admin port's `/metrics`, read as numbers.

use std::collections::BTreeMap;

/// One reading of every sample.
#[derive(Clone, Debug)]
pub struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// Reads the text form of Prometheus.
    ///
    /// # Panics
    ///
    /// When a line is no sample.
    #[must_use]
    pub fn parse(page: &str) -> Self {
        let samples = page
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty());
        let samples = samples.map(|line| {
            let (name, value) = line
                .rsplit_once(' ')
                .expect("a sample has a name and a value");
            let value = value.parse().expect("the value of a sample is a number");
            (name.to_owned(), value)
        });
        Self(samples.collect())
    }

    /// The value of a sample, given with its labels as they are written; zero where it is not there.
    #[must_use]
    pub fn value(&self, sample: &str) -> f64 {
        self.0.get(sample).copied().unwrap_or_default()
    }

    /// The sum over all samples of a family that have this label.
    #[must_use]
    pub fn sum(&self, family: &str, label: &str) -> f64 {
        let samples = self.0.iter().filter(|(name, _)| {
            let (this, labels) = name.split_once('{').unwrap_or((name, ""));
            this == family && labels.contains(label)
        });
        samples.map(|(_, value)| value).sum()
    }

    /// How many spans were made.
    #[must_use]
    pub fn created(&self) -> f64 {
        self.value("throughline_spans_created_total")
    }

    /// How many spans this exporter's destination took.
    #[must_use]
    pub fn exported(&self, exporter: &str) -> f64 {
        self.sum("throughline_spans_exported_total", &label(exporter))
    }

    /// How many spans this exporter lost, for whatever reason.
    #[must_use]
    pub fn dropped(&self, exporter: &str) -> f64 {
        self.sum("throughline_spans_dropped_total", &label(exporter))
    }

    /// How many spans this exporter lost for `reason`.
    #[must_use]
    pub fn dropped_for(&self, exporter: &str, reason: &str) -> f64 {
        self.value(&format!(
            "throughline_spans_dropped_total{{exporter=\"{exporter}\",reason=\"{reason}\"}}"
        ))
    }

    /// How many spans wait for this exporter.
    #[must_use]
    pub fn pending(&self, exporter: &str) -> f64 {
        self.sum("throughline_spans_pending", &label(exporter))
    }

    /// Whether every span is accounted for: created = exported + dropped + pending.
    #[must_use]
    #[expect(clippy::float_cmp, reason = "these are counts")]
    pub fn balances(&self, exporter: &str) -> bool {
        let accounted = self.exported(exporter) + self.dropped(exporter) + self.pending(exporter);
        self.created() == accounted
    }
}

fn label(exporter: &str) -> String {
    format!("exporter=\"{exporter}\"")
}
