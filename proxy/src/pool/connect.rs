//! A connection for bytes that are somebody else's.

use bytes::Bytes;
use http_body::Body;
use throughline::{
    ambient,
    phase::{ConnectionUse, Recorder},
};

use super::{
    Error, Origin, Pool,
    dial::{self, Transport},
    upstream::noted,
};
use crate::{target::Target, tls::Offer};

impl<B> Pool<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Connects to `target`, for a tunnel: resolved, timed and kept from ourselves like any other
    /// upstream, and nobody else's afterwards.
    ///
    /// # Errors
    ///
    /// [`Error`], which names the phase that it died in.
    pub(crate) async fn connect(
        &self,
        target: &Target,
        recorder: Option<&Recorder>,
    ) -> Result<Transport, Error> {
        if let Some(recorder) = recorder {
            recorder.begin_attempt(ambient::now());
        }
        let origin = Origin::http(&target.host, target.port);
        let dialled =
            dial::dial(&origin, &self.0.config, &self.0.tls, Offer::Http1, recorder).await;
        let dialled = dialled.map_err(|error| noted(error, &self.0.counts, recorder))?;
        if let Some(recorder) = recorder {
            recorder.connection(ConnectionUse {
                reused: false,
                age: std::time::Duration::ZERO,
                ordinal: 1,
                peer: dialled.peer,
                tls: None,
            });
        }
        Ok(dialled.transport)
    }
}
