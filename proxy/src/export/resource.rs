//! Who reports: the attributes that all spans of this process share.

use throughline::ambient;

/// The attributes of the process that reports, in the order in which they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    attributes: Vec<(String, String)>,
}

const SERVICE_NAME: &str = "service.name";

impl Resource {
    /// The resource of this process, which stands beside the service `service_name`.
    ///
    /// `extra` are the attributes of `OTEL_RESOURCE_ATTRIBUTES`. They win over what is found out
    /// here, but not over `service_name`: whoever calls has already chosen between the two.
    #[must_use]
    pub fn new(service_name: &str, extra: Vec<(String, String)>) -> Self {
        let uname = rustix::system::uname();
        let host = uname.nodename().to_string_lossy();
        let random = (u128::from(ambient::random()) << 64) | u128::from(ambient::random());
        Self::assemble(service_name, extra, &host, std::process::id(), random)
    }

    /// The same, from a given host name, process id and randomness.
    fn assemble(
        service_name: &str,
        extra: Vec<(String, String)>,
        host: &str,
        pid: u32,
        random: u128,
    ) -> Self {
        let pid = pid.to_string();
        let instance = uuid(random);
        let ours = [
            (SERVICE_NAME, service_name),
            ("service.instance.id", &instance),
            ("host.name", host),
            ("process.pid", &pid),
            ("telemetry.sdk.name", "throughline"),
            ("telemetry.sdk.language", "rust"),
            ("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
        ];
        let mut resource = Self {
            attributes: Vec::with_capacity(ours.len() + extra.len()),
        };
        for (key, value) in ours {
            // A host without a name says nothing by saying so.
            if !value.is_empty() {
                resource.set(key, value.to_owned());
            }
        }
        for (key, value) in extra {
            if key != SERVICE_NAME {
                resource.set(&key, value);
            }
        }
        resource
    }

    /// The attributes, each key once.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.attributes
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The value of one attribute.
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<&str> {
        self.attributes()
            .find_map(|(name, value)| (name == key).then_some(value))
    }

    /// The name of the service.
    #[must_use]
    pub fn service_name(&self) -> &str {
        self.attribute(SERVICE_NAME).unwrap_or_default()
    }

    fn set(&mut self, key: &str, value: String) {
        match self.attributes.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => *old = value,
            None => self.attributes.push((key.to_owned(), value)),
        }
    }
}

/// A version 4 UUID of these random bits (RFC 9562, section 5.4).
fn uuid(random: u128) -> String {
    let bits = (random & !(0xf << 76) & !(0b11 << 62)) | (4 << 76) | (0b10 << 62);
    let hex = format!("{bits:032x}");
    let (a, b, c, d, e) = (
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    );
    format!("{a}-{b}-{c}-{d}-{e}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn extra_attributes_win_over_all_but_the_service_name() {
        let extra = vec![
            pair("deployment.environment.name", "staging"),
            pair("host.name", "node-7"),
            pair("service.name", "other"),
        ];
        let resource = Resource::assemble("orders", extra, "pod-1", 42, 0);
        let got: Vec<_> = resource.attributes().collect();
        assert_eq!(
            got,
            [
                ("service.name", "orders"),
                (
                    "service.instance.id",
                    "00000000-0000-4000-8000-000000000000"
                ),
                ("host.name", "node-7"),
                ("process.pid", "42"),
                ("telemetry.sdk.name", "throughline"),
                ("telemetry.sdk.language", "rust"),
                ("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
                ("deployment.environment.name", "staging"),
            ]
        );
    }

    #[test]
    fn instance_ids_have_the_shape_of_a_version_4_uuid() {
        assert_eq!(uuid(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        let [one, two] = [0, 1].map(|_| Resource::new("a", Vec::new()));
        let id = |resource: &Resource| resource.attribute("service.instance.id").map(str::to_owned);
        assert_ne!(id(&one), id(&two), "two starts are two instances");
    }

    #[test]
    fn the_host_is_named() {
        let resource = Resource::new("a", Vec::new());
        assert!(
            resource
                .attribute("host.name")
                .is_some_and(|host| !host.is_empty())
        );
        assert_eq!(resource.service_name(), "a");
    }
}
