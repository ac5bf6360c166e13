//! placeholder

pub mod otlp {
    //! placeholder
    use std::{path::PathBuf, time::Duration};

    /// Where spans go as OTLP, and how.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Config {
        /// The URL: whole for HTTP, scheme and authority for gRPC.
        pub endpoint: String,
        /// What is spoken there.
        pub protocol: Protocol,
        /// Headers of every request.
        pub headers: Vec<(String, String)>,
        /// Whether requests are compressed.
        pub compression: Compression,
        /// How long one request may take.
        pub timeout: Duration,
        /// PEM certificates that the collector's is trusted by, in place of the system's.
        pub certificate: Option<PathBuf>,
    }

    /// The transport of OTLP.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Protocol {
        /// gRPC.
        Grpc,
        /// Protobuf over HTTP.
        HttpProtobuf,
    }

    /// The compression of requests.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Compression {
        /// None.
        None,
        /// gzip.
        Gzip,
    }
}
