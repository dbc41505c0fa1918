//! The connection under the driver. The driver cannot be told how its socket is to behave, does not check
//! whether an answer is one, and gives a password in clear to any server that asks; so Sluice opens the
//! connection itself, and the driver reaches it through a socket within this process. Here it ends when the
//! server is gone, is encrypted as the manifest says, and carries nothing but PostgreSQL's protocol.

use std::{io, path::Path, sync::Arc};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf},
    net::{TcpStream, UnixListener, UnixStream},
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

use super::{
    body::Refused,
    frame::{Answers, Nonce},
    letters::readable,
    said::WIRE,
    tls::{Tls, TlsMode},
};
use crate::limits::{KEEPALIVE, KEEPALIVES, USER_TIMEOUT};

/// As [`crate::limits`] has it for a client tool, as libpq's connection string: it has no variables for these.
pub const LIBPQ_KEEPALIVES: &str =
    "keepalives=1 keepalives_idle=5 keepalives_interval=5 keepalives_count=2 tcp_user_timeout=15000";
const NO_TLS: &str = "the server does not speak TLS: switch it on there (ssl = on), or, where every host on \
    this network may read passwords and rows, write sslmode=disable into the URL";
const OWN_AUTHORITY: &str = "the server shows the certificate of an authority (CA:TRUE) as its own, which is \
    refused even where that authority is \
                             known: give the server a certificate that the authority signed \
                             (basicConstraints CA:FALSE)";
/// The request for TLS, and the code that says so.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
const PORT: u16 = 5432;

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum WireError {
    /// No server answers.
    Network(io::Error),
    /// The answer is not encrypted as it must be.
    Tls(String),
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection to a server, before anything is said.
pub(super) struct Wire {
    server: Box<dyn Stream>,
    answers: Answers,
}

impl Wire {
    /// Reaches the server. A host that begins with a slash is the folder of its socket.
    pub(super) async fn open(host: &str, port: u16, tls: &Tls) -> Result<Self, WireError> {
        if host.starts_with('/') {
            let server = UnixStream::connect(Path::new(host).join(format!(".s.PGSQL.{port}")))
                .await
                .map_err(WireError::Network)?;
            return Ok(Self { server: Box::new(server), answers: Answers::default() });
        }
        let mut server = TcpStream::connect((host, port)).await.map_err(WireError::Network)?;
        let socket = SockRef::from(&server);
        let keepalive =
            TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE).with_retries(KEEPALIVES);
        let set = socket
            .set_tcp_keepalive(&keepalive)
            .and_then(|()| socket.set_tcp_user_timeout(Some(USER_TIMEOUT)));
        set.and_then(|()| server.set_nodelay(true)).map_err(WireError::Network)?;
        if tls.mode() == TlsMode::Disable {
            return Ok(Self { server: Box::new(server), answers: Answers::in_clear() });
        }
        let config = tls.client_config().map_err(WireError::Tls)?;
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| WireError::Tls(format!("{host:?} is no name that a certificate can be for")))?;
        let mut answer = [0];
        server.write_all(&SSL_REQUEST).await.map_err(WireError::Network)?;
        server.read_exact(&mut answer).await.map_err(WireError::Network)?;
        match answer[0] {
            b'S' => {}
            b'N' => return Err(WireError::Tls(NO_TLS.to_owned())),
            _ => return Err(WireError::Tls("what answers is not PostgreSQL".to_owned())),
        }
        let encrypted =
            TlsConnector::from(Arc::new(config)).connect(name, server).await.map_err(|error| match error
                .get_ref()
            {
                Some(_) if error.to_string().contains("CaUsedAsEndEntity") => {
                    WireError::Tls(OWN_AUTHORITY.to_owned())
                }
                Some(_) => WireError::Tls(error.to_string()),
                None => WireError::Network(error),
            })?;
        Ok(Self { server: Box::new(encrypted), answers: Answers::default() })
    }

    /// Offers the connection to the driver: the folder and the port of the socket that it finds. No other
    /// process gets it. The server gets `begin` in place of the driver's first message.
    pub(super) fn offer(self, begin: Vec<u8>) -> io::Result<(String, u16)> {
        // A name that begins with a zero is not in the file system: it needs no folder to write to, and is
        // gone with its socket.
        let folder = format!("\0sluice-{}-{:016x}", std::process::id(), fastrand::u64(..));
        let listener = UnixListener::bind(format!("{folder}/.s.PGSQL.{PORT}"))?;
        tokio::spawn(async move {
            if let Ok(driver) = own(listener).await {
                self.carry(driver, &begin).await;
            }
        });
        Ok((folder, PORT))
    }

    /// Carries both directions until one side ends.
    async fn carry(self, driver: UnixStream, begin: &[u8]) {
        let Self { server, mut answers } = self;
        let nonce = answers.nonce();
        let (mut from_driver, mut to_driver) = driver.into_split();
        let (mut from_server, mut to_server) = tokio::io::split(server);
        let sent = async {
            let sent = send(&mut from_driver, &mut to_server, begin, &nonce).await;
            // The driver has said good-bye, or was dropped.
            let _ = to_server.shutdown().await;
            sent
        };
        let lost = tokio::select! {
            sent = sent => match sent {
                Ok(_) => return,
                Err(error) => Lost::Network(error.to_string()),
            },
            lost = received(&mut from_server, &mut to_driver, &mut answers) => lost,
        };
        tracing::debug!(?lost, "the connection to the server ended");
        let _ = to_driver.write_all(&lost.farewell()).await;
    }
}

/// Sends what the session begins with, and then whatever the driver says. What it makes up for its log-in is
/// noted.
async fn send(
    driver: &mut (impl AsyncRead + Unpin),
    server: &mut WriteHalf<Box<dyn Stream>>,
    begin: &[u8],
    nonce: &Nonce,
) -> io::Result<u64> {
    let length = driver.read_u32().await?;
    tokio::io::copy(&mut (&mut *driver).take(u64::from(length).saturating_sub(4)), &mut tokio::io::sink())
        .await?;
    server.write_all(begin).await?;
    server.flush().await?;
    let mut first = Vec::with_capacity(16 * 1024);
    driver.read_buf(&mut first).await?;
    // The answer to a request for a password, which the driver writes at once: what SCRAM begins with.
    if let Some(at) = first.windows(3).rposition(|three| three == b",r=").filter(|_| first[0] == b'p') {
        let _ = nonce.set(first[at + 3..].to_vec());
    }
    server.write_all(&first).await?;
    server.flush().await?;
    tokio::io::copy(driver, server).await
}

/// The driver's own end: another process that finds the socket first is turned away.
async fn own(listener: UnixListener) -> io::Result<UnixStream> {
    loop {
        let (driver, _) = listener.accept().await?;
        let process = driver.peer_cred()?.pid().and_then(|pid| u32::try_from(pid).ok());
        if process == Some(std::process::id()) {
            return Ok(driver);
        }
    }
}

/// Why nothing more comes.
#[derive(Debug)]
enum Lost {
    /// The server or the network has gone.
    Network(String),
    /// The server says what it must not.
    Refused(Refused),
}

impl Lost {
    /// What PostgreSQL would say: the connection is over.
    fn farewell(&self) -> Vec<u8> {
        let (code, why) = match self {
            Self::Network(why) => ("08006", why.as_str()),
            Self::Refused(why) => ("08P01", *why),
        };
        let fields = format!("SFATAL\0VFATAL\0C{code}\0M{}\0R{WIRE}\0\0", why.replace('\0', " "));
        let length = u32::try_from(fields.len() + 4).unwrap_or(u32::MAX);
        [b"E".as_slice(), &length.to_be_bytes(), fields.as_bytes()].concat()
    }
}

/// Hands on every message that is one. Ends with why there are no more.
async fn received(
    server: &mut ReadHalf<Box<dyn Stream>>,
    driver: &mut (impl AsyncWrite + Unpin),
    answers: &mut Answers,
) -> Lost {
    let (mut buffer, mut handed) = (Vec::with_capacity(16 * 1024), Vec::new());
    loop {
        handed.clear();
        let taken = answers.take(&buffer, &mut handed);
        // What came before the message that is refused is still an answer.
        if let Err(error) = driver.write_all(&readable(&handed)).await {
            return Lost::Network(error.to_string());
        }
        match taken {
            Ok(taken) => drop(buffer.drain(..taken)),
            Err(refused) => return Lost::Refused(refused),
        }
        match server.read_buf(&mut buffer).await {
            Ok(0) => return Lost::Network("the server closed the connection".to_owned()),
            Ok(_) => {}
            Err(error) => return Lost::Network(format!("the connection to the server broke: {error}")),
        }
    }
}
