//! One end of a connection, written and read as bytes by a reader that forgives nothing.
//!
//! What a lenient reader would make of a message does not matter here: a message that this one takes
//! has one reading, and what it does not take is a breach of RFC 9112, with the reason as text.

use std::net::SocketAddr;

use throughline_tests::PATIENCE;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Fields in their order, with names in lower case.
pub(crate) type Fields = Vec<(String, Vec<u8>)>;

/// How the end of a message is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    None,
    Length,
    Chunked,
    Close,
}

/// A start line and its fields.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) line: String,
    pub(crate) fields: Fields,
}

impl Head {
    /// All values of a field, as text.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        values(&self.fields, name)
    }

    /// The status of a response.
    pub(crate) fn status(&self) -> u16 {
        self.try_status().unwrap_or_else(|why| panic!("{why}"))
    }

    fn try_status(&self) -> Result<u16, String> {
        let said = self.line.split(' ').nth(1).filter(|said| said.len() == 3);
        let status = said.and_then(|said| said.parse().ok());
        status.ok_or_else(|| format!("no status in {:?}", self.line))
    }
}

/// A whole message.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Fields,
    pub(crate) framing: Framing,
}

impl Message {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// All values of a field, as text.
pub(crate) fn values(fields: &Fields, name: &str) -> Vec<String> {
    let those = fields.iter().filter(|(n, _)| n == name);
    those
        .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        .collect()
}

/// What a message is, which tells how it may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Request,
    Response,
    /// To a HEAD: there is never a body, whatever the fields say.
    ResponseToHead,
}

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Wire {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).await.unwrap())
    }

    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            read: Vec::new(),
        }
    }

    /// Writes; whether the other side still reads is for the case to find out.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    /// Says that nothing more will come.
    pub(crate) async fn finish(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Closes, and waits until the other side has closed too: from then on it knows.
    pub(crate) async fn close(mut self) {
        self.finish().await;
        self.rest().await;
    }

    /// Closes with a reset.
    pub(crate) fn reset(self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket.set_linger(Some(std::time::Duration::ZERO)).unwrap();
    }

    /// Reads more; false at the end.
    async fn more(&mut self) -> bool {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.read)).await;
        let read = read.unwrap_or_else(|_| {
            let had = String::from_utf8_lossy(&self.read);
            panic!("nothing more came, and no end, after {had:?}")
        });
        // A reset is an end too.
        read.unwrap_or(0) > 0
    }

    /// Everything until the other side closes.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.read)
    }

    /// The same as text.
    pub(crate) async fn rest_text(&mut self) -> String {
        String::from_utf8_lossy(&self.rest().await).into_owned()
    }

    /// As many bytes.
    pub(crate) async fn exactly(&mut self, count: usize) -> Result<Vec<u8>, String> {
        while self.read.len() < count {
            if !self.more().await {
                let had = self.read.len();
                return Err(format!("the end after {had} of {count} bytes"));
            }
        }
        Ok(self.read.drain(..count).collect())
    }

    /// Everything up to and with `end`.
    pub(crate) async fn through(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.read.windows(end.len()).position(|w| w == end) {
                return self.read.drain(..at + end.len()).collect();
            }
            let more = self.more().await;
            let had = String::from_utf8_lossy(&self.read);
            assert!(more, "the end before {end:?}: {had:?}");
        }
    }

    async fn line(&mut self) -> Result<Vec<u8>, String> {
        let at = loop {
            if let Some(at) = self.read.iter().position(|&byte| byte == b'\n') {
                break at;
            }
            if !self.more().await {
                let had = String::from_utf8_lossy(&self.read);
                return Err(format!("the end within a line: {had:?}"));
            }
        };
        let mut line: Vec<u8> = self.read.drain(..=at).collect();
        if !line.ends_with(b"\r\n") {
            return Err(format!("a bare LF: {:?}", String::from_utf8_lossy(&line)));
        }
        line.truncate(line.len() - 2);
        if let Some(byte) = line
            .iter()
            .find(|b| (**b < 32 && **b != b'\t') || **b == 127)
        {
            let line = String::from_utf8_lossy(&line);
            return Err(format!("the byte {byte} in {line:?}"));
        }
        Ok(line)
    }

    async fn fields(&mut self) -> Result<Fields, String> {
        let mut fields = Fields::new();
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Ok(fields);
            }
            let shown = String::from_utf8_lossy(&line).into_owned();
            let colon = line.iter().position(|&byte| byte == b':');
            let colon = colon.ok_or_else(|| format!("no colon in {shown:?}"))?;
            let name = &line[..colon];
            let is_token = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
            if name.is_empty() || !name.iter().all(is_token) {
                return Err(format!("not a name: {shown:?}"));
            }
            let name = String::from_utf8_lossy(name).to_ascii_lowercase();
            fields.push((name, line[colon + 1..].trim_ascii().to_vec()));
        }
    }

    /// The head of a message.
    pub(crate) async fn head(&mut self) -> Head {
        self.try_head().await.expect("a head")
    }

    /// The head of a message, or what is wrong with it.
    pub(crate) async fn try_head(&mut self) -> Result<Head, String> {
        let line = String::from_utf8_lossy(&self.line().await?).into_owned();
        let fields = self.fields().await?;
        Ok(Head { line, fields })
    }

    /// A request; `None` if the other side closes before.
    pub(crate) async fn try_request(&mut self) -> Result<Option<Message>, String> {
        if self.read.is_empty() && !self.more().await {
            return Ok(None);
        }
        self.message(Kind::Request).await.map(Some)
    }

    /// A whole request.
    pub(crate) async fn request(&mut self) -> Message {
        let request = self.try_request().await;
        request.expect("a request in good form").expect("a request")
    }

    /// A whole response.
    pub(crate) async fn response(&mut self) -> Message {
        self.try_response().await.expect("a response in good form")
    }

    /// A response, or what is missing or wrong.
    pub(crate) async fn try_response(&mut self) -> Result<Message, String> {
        self.message(Kind::Response).await
    }

    /// A whole response to a HEAD.
    pub(crate) async fn response_to_head(&mut self) -> Message {
        let response = self.message(Kind::ResponseToHead).await;
        response.expect("a response in good form")
    }

    async fn message(&mut self, kind: Kind) -> Result<Message, String> {
        let head = self.try_head().await?;
        let framing = framing(&head, kind)?;
        let (mut body, mut trailers) = (Vec::new(), Fields::new());
        match framing {
            Framing::None => {}
            Framing::Length => {
                let length = head.all("content-length")[0].parse().unwrap_or(0);
                body = self.exactly(length).await?;
            }
            Framing::Close => body = self.rest().await,
            Framing::Chunked => loop {
                let chunk = self.chunk().await?;
                if chunk.is_empty() {
                    trailers = self.fields().await?;
                    break;
                }
                body.extend(chunk);
            },
        }
        Ok(Message {
            head,
            body,
            trailers,
            framing,
        })
    }

    /// One chunk of a body; the last is empty, and what follows it is still to be read.
    pub(crate) async fn chunk(&mut self) -> Result<Vec<u8>, String> {
        let line = String::from_utf8_lossy(&self.line().await?).into_owned();
        let digits = line.split(';').next().unwrap_or_default();
        let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let size = usize::from_str_radix(digits, 16).ok().filter(|_| is_number);
        let size = size.ok_or_else(|| format!("not a chunk size: {line:?}"))?;
        if size == 0 {
            return Ok(Vec::new());
        }
        let chunk = self.exactly(size).await?;
        match self.exactly(2).await?.as_slice() {
            b"\r\n" => Ok(chunk),
            other => Err(format!("a chunk goes on with {other:?}")),
        }
    }
}

fn framing(head: &Head, kind: Kind) -> Result<Framing, String> {
    let (lengths, codings) = (head.all("content-length"), head.all("transfer-encoding"));
    if kind == Kind::Request && head.all("host").len() != 1 {
        return Err(format!("{} fields Host", head.all("host").len()));
    }
    if lengths.len() > 1 || (!lengths.is_empty() && !codings.is_empty()) {
        return Err(format!("two framings: {lengths:?}, {codings:?}"));
    }
    let status = match kind {
        Kind::Request => None,
        Kind::Response | Kind::ResponseToHead => Some(head.try_status()?),
    };
    if kind == Kind::ResponseToHead || status.is_some_and(|s| s < 200 || s == 204 || s == 304) {
        return Ok(Framing::None);
    }
    match (lengths.first(), codings.as_slice()) {
        (Some(length), _) if length.bytes().all(|b| b.is_ascii_digit()) => Ok(Framing::Length),
        (Some(length), _) => Err(format!("the length {length:?}")),
        (None, [coding]) if coding == "chunked" => Ok(Framing::Chunked),
        (None, []) if kind == Kind::Request => Ok(Framing::None),
        (None, []) => Ok(Framing::Close),
        (None, codings) => Err(format!("the codings {codings:?}")),
    }
}
