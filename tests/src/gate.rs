//! A way to a server that can be shut, and on which what passes can be changed.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// What a gate does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// Everything passes.
    Open,
    /// Nothing does, and what was under way ends.
    Shut,
    /// In what the server says, each text of the first kind becomes one of the second, which is as long.
    Changed(&'static str, &'static str),
}

/// A port before a server. Dropping it closes the port.
#[derive(Debug)]
pub struct Gate {
    address: String,
    way: Arc<watch::Sender<Way>>,
    accepting: AbortHandle,
}

impl Gate {
    /// An open gate before the server at `HOST:PORT`.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn before(server: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no port for a gate")?;
        let address = listener.local_addr().context("the gate has no address")?.to_string();
        let way = Arc::new(watch::Sender::new(Way::Open));
        let (server, ways) = (server.to_owned(), way.clone());
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let way = ways.subscribe();
                if *way.borrow() != Way::Shut {
                    tokio::spawn(pass(client, server.clone(), way));
                }
            }
        });
        Ok(Self { address, way, accepting: accepting.abort_handle() })
    }

    /// `HOST:PORT` of the gate.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Opens, shuts or changes.
    pub fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Passes on what comes over one connection until it ends or the gate is shut.
async fn pass(mut client: TcpStream, server: String, mut way: watch::Receiver<Way>) {
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    let (mut asked, mut said) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let done = tokio::select! {
            changed = way.changed() => {
                if changed.is_err() || *way.borrow() == Way::Shut { return }
                Ok(())
            }
            read = client.read(&mut asked) => match read {
                Ok(0) | Err(_) => return,
                Ok(length) => server.write_all(asked.get(..length).unwrap_or_default()).await,
            },
            read = server.read(&mut said) => match read {
                Ok(0) | Err(_) => return,
                Ok(length) => {
                    let bytes = said.get_mut(..length).unwrap_or_default();
                    let now = way.borrow().clone();
                    if let Way::Changed(from, to) = now {
                        change(bytes, from.as_bytes(), to.as_bytes());
                    }
                    client.write_all(bytes).await
                }
            },
        };
        if done.is_err() {
            return;
        }
    }
}

/// Texts that are cut by the end of a read stay as they are: whoever asks again hears the change then.
fn change(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    let mut at = 0;
    while let Some(window) = bytes.get_mut(at..at + from.len()) {
        if window == from {
            window.copy_from_slice(to);
        }
        at += 1;
    }
}
