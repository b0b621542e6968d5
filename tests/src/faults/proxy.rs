//! A proxy between a worker and a service, which can be cut, slowed, made a black hole, and told to
//! lose PostgreSQL's answer to a COMMIT while the commit itself goes through.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};
use url::Url;

/// How the frontend of PostgreSQL sends the statement COMMIT.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";
/// Bytes that are passed on at a time.
const PIECE: usize = 64 << 10;

/// What becomes of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// They pass.
    Open,
    /// Each piece of them waits before it passes.
    Slow(Duration),
    /// They stay where they are, and nobody is told.
    Hole,
    /// New connections are closed at once.
    Shut,
}

#[derive(Debug, Clone)]
struct State {
    way: Way,
    cuts: u64,
    replies_to_lose: u32,
    replies_lost: u32,
    /// The same for commits that end a job in the dead letters.
    dead_replies_to_lose: u32,
    /// Where all connections go, in place of the services that the proxy began with.
    led_to: Option<String>,
    /// The next connection whose client says this passes nothing on any more, in either direction.
    swallow_at: Option<&'static [u8]>,
}

/// A proxy; it ends with its value.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: Arc<watch::Sender<State>>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// A proxy to the service of an address such as `127.0.0.1:5432`.
    ///
    /// # Panics
    /// If no port can be listened on.
    pub async fn to(service: String) -> Self {
        Self::to_all(vec![service]).await
    }

    /// A proxy to several services that do the same. One connection after the other goes to the next of
    /// them, and to the one after it where that does not take it.
    async fn to_all(services: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let open = State {
            way: Way::Open,
            cuts: 0,
            replies_to_lose: 0,
            replies_lost: 0,
            dead_replies_to_lose: 0,
            led_to: None,
            swallow_at: None,
        };
        let state = Arc::new(watch::Sender::new(open));
        let shared = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            let mut order = services;
            while let Ok((client, _)) = listener.accept().await {
                let (services, shared) = (order.clone(), Arc::clone(&shared));
                order.rotate_left(1);
                tokio::spawn(async move { serve(client, &services, &shared).await });
            }
        });
        Self { address, state, accepting }
    }

    /// A proxy before the service of a URL, and the URL that leads through it.
    ///
    /// # Panics
    /// If the URL names no host and port.
    pub async fn before(url: &Url) -> (Self, Url) {
        Self::before_all(std::slice::from_ref(url)).await
    }

    /// A proxy before the services of several URLs that differ by host and port, and the URL through it.
    ///
    /// # Panics
    /// If there is none, or one names no host and port.
    pub async fn before_all(urls: &[Url]) -> (Self, Url) {
        let service = |url: &Url| format!("{}:{}", url.host_str().expect("a host"), url.port().expect("a port"));
        let proxy = Self::to_all(urls.iter().map(service).collect()).await;
        let mut through = urls.first().expect("a URL").clone();
        through.set_port(Some(proxy.address.port())).expect("a URL with a host has a port");
        (proxy, through)
    }

    /// Sets what becomes of the bytes from now on.
    pub fn set(&self, way: Way) {
        self.state.send_modify(|state| state.way = way);
    }

    /// Leads new connections to another address from now on.
    pub fn lead_to(&self, address: &str) {
        self.state.send_modify(|state| state.led_to = Some(address.to_owned()));
    }

    /// Makes a black hole of the next connection whose client says this, until it is cut. All others pass.
    pub fn swallow_at(&self, said: &'static [u8]) {
        self.state.send_modify(|state| state.swallow_at = Some(said));
    }

    /// Whether there was such a connection.
    pub fn has_swallowed(&self) -> bool {
        self.state.borrow().swallow_at.is_none()
    }

    /// Ends every connection that there is.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    /// Loses the answers to the next commits of jobs: the client's connection ends, the server's
    /// does not notice.
    pub fn lose_commit_replies(&self, number: u32) {
        self.state.send_modify(|state| state.replies_to_lose = number);
    }

    /// Loses the answers to the next commits that note a dead letter, in the same way.
    pub fn lose_dead_letter_replies(&self, number: u32) {
        self.state.send_modify(|state| state.dead_replies_to_lose = number);
    }

    /// How many answers to commits were lost.
    pub fn replies_lost(&self) -> u32 {
        self.state.borrow().replies_lost
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
        self.accepting.abort();
    }
}

/// A connection to the first of these that takes it.
async fn reach(services: &[String]) -> Option<TcpStream> {
    for service in services {
        if let Ok(stream) = TcpStream::connect(service).await {
            return Some(stream);
        }
    }
    None
}

async fn serve(client: TcpStream, services: &[String], state: &watch::Sender<State>) {
    let begin = state.borrow().clone();
    if begin.way == Way::Shut {
        return;
    }
    let led_to: Vec<_> = begin.led_to.into_iter().collect();
    let Some(server) = reach(if led_to.is_empty() { services } else { &led_to }).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut kept = Some(to_server);
    let mut cut = state.subscribe();
    {
        let there = requests(from_client, &mut kept, state);
        let back = pass(from_server, to_client, state);
        tokio::select! {
            () = there => {}
            () = back => {}
            _ = cut.wait_for(|now| now.cuts != begin.cuts) => {}
        }
    }
    drop(kept);
}

/// Passes what the client sends on, and breaks off after a COMMIT whose answer is to be lost.
async fn requests(mut from: OwnedReadHalf, to: &mut Option<OwnedWriteHalf>, state: &watch::Sender<State>) {
    let mut piece = vec![0; PIECE];
    let (mut of_a_job, mut of_a_dead_letter) = (false, false);
    let mut watching = state.subscribe();
    while let (Ok(length), Some(writer)) = (from.read(&mut piece).await, to.as_mut()) {
        let bytes = &piece[..length];
        if state.send_if_modified(|now| now.swallow_at.take_if(|said| holds(bytes, said)).is_some()) {
            std::future::pending::<()>().await;
        }
        if length == 0 || !ready(&mut watching).await || writer.write_all(bytes).await.is_err() {
            return;
        }
        // The receipt is among what a job writes before it commits; nothing else writes one.
        of_a_job |= holds(bytes, b"finished_at\"");
        // So is the event of a dead letter, even of a message that is not a job and has no run.
        of_a_dead_letter |= holds(bytes, b"dead_lettered");
        if holds(bytes, COMMIT) {
            let (job, dead) = (std::mem::take(&mut of_a_job), std::mem::take(&mut of_a_dead_letter));
            let lost = state.send_if_modified(|now| {
                let lose_job = job && now.replies_to_lose > 0;
                let lose_dead = !lose_job && dead && now.dead_replies_to_lose > 0;
                now.replies_to_lose -= u32::from(lose_job);
                now.dead_replies_to_lose -= u32::from(lose_dead);
                now.replies_lost += u32::from(lose_job || lose_dead);
                lose_job || lose_dead
            });
            if lost {
                // The server keeps its end for as long as it may need to commit.
                if let Some(writer) = to.take() {
                    tokio::spawn(async move {
                        tokio::time::sleep(Duration::from_secs(20)).await;
                        drop(writer);
                    });
                }
                return;
            }
        }
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: &watch::Sender<State>) {
    let mut piece = vec![0; PIECE];
    let mut watching = state.subscribe();
    while let Ok(length) = from.read(&mut piece).await {
        if length == 0 || !ready(&mut watching).await || to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}

/// Waits until bytes may pass.
async fn ready(state: &mut watch::Receiver<State>) -> bool {
    let way = state.borrow_and_update().way;
    match way {
        Way::Open | Way::Shut => true,
        Way::Slow(delay) => {
            tokio::time::sleep(delay).await;
            true
        }
        Way::Hole => state.wait_for(|now| now.way != Way::Hole).await.is_ok(),
    }
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn echo() -> (String, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let serving = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        (address, serving)
    }

    #[tokio::test]
    async fn a_hole_keeps_bytes_back_and_a_cut_ends_the_connection() {
        let (address, _serving) = echo().await;
        let proxy = Proxy::to(address).await;
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        let mut answer = [0; 2];
        stream.write_all(b"hi").await.unwrap();
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"hi");

        proxy.set(Way::Hole);
        stream.write_all(b"ho").await.unwrap();
        let waiting = tokio::time::timeout(Duration::from_millis(100), stream.read_exact(&mut answer));
        assert!(waiting.await.is_err());
        proxy.set(Way::Open);
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"ho");

        proxy.cut();
        assert_eq!(stream.read(&mut answer).await.unwrap_or(0), 0);
    }

    #[tokio::test]
    async fn a_service_that_is_gone_is_passed_over() {
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
        let (address, _serving) = echo().await;
        let proxy = Proxy::to_all(vec![gone, address]).await;
        for _ in 0..4 {
            let mut stream = TcpStream::connect(proxy.address).await.unwrap();
            let mut answer = [0; 2];
            stream.write_all(b"hi").await.unwrap();
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"hi");
        }
    }

    #[tokio::test]
    async fn the_answer_to_a_jobs_commit_is_lost_and_the_commit_goes_through() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy::to(listener.local_addr().unwrap().to_string()).await;
        proxy.lose_commit_replies(1);
        let mut client = TcpStream::connect(proxy.address).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let receipt = b"{\"finished_at\": 1}";
        client.write_all(receipt).await.unwrap();
        let mut got = vec![0; receipt.len()];
        server.read_exact(&mut got).await.unwrap();
        client.write_all(COMMIT).await.unwrap();
        let mut got = vec![0; COMMIT.len()];
        server.read_exact(&mut got).await.unwrap();
        assert_eq!(got, COMMIT);
        assert_eq!(client.read(&mut [0; 1]).await.unwrap_or(0), 0);
        assert_eq!(proxy.replies_lost(), 1);
    }

    #[tokio::test]
    async fn of_the_answers_to_dead_letters_no_other_is_lost() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy::to(listener.local_addr().unwrap().to_string()).await;
        proxy.lose_dead_letter_replies(1);
        let mut client = TcpStream::connect(proxy.address).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        for (written, lost) in [("{\"finished_at\": 1}", 0), ("{\"event_type\": \"dead_lettered\"}", 1)] {
            for bytes in [written.as_bytes(), COMMIT] {
                client.write_all(bytes).await.unwrap();
                server.read_exact(&mut vec![0; bytes.len()]).await.unwrap();
            }
            if lost == 0 {
                server.write_all(b"!").await.unwrap();
                assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 1);
            }
            assert_eq!(proxy.replies_lost(), lost);
        }
        assert_eq!(client.read(&mut [0; 1]).await.unwrap_or(0), 0);
    }
}
