//! A client that speaks AMQP 0-9-1 byte by byte, so that it can send what no library would.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::Duration,
};

use percent_encoding::percent_decode_str;
use url::Url;

/// The most that one frame may carry here: what RabbitMQ offers, less what surrounds it.
const FRAME: usize = 131_072 - 8;
const LIMIT: Duration = Duration::from_secs(20);

/// What the broker said to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It has it.
    Confirmed,
    /// It closed the channel or the connection: it takes no such message.
    Refused,
}

/// A short string as it stands on the wire.
pub fn short(text: &[u8]) -> Vec<u8> {
    let mut wire = vec![u8::try_from(text.len()).expect("at most 255 bytes")];
    wire.extend_from_slice(text);
    wire
}

/// A long string, table or array: its length and its content.
pub fn long(content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("a length");
    [&length.to_be_bytes()[..], content].concat()
}

/// The properties of a message: flags, and what stands behind them.
#[derive(Debug, Clone, Default)]
pub struct Properties {
    /// Which properties there are, the content type in the highest bit.
    pub flags: u16,
    /// Their values.
    pub values: Vec<u8>,
}

impl Properties {
    /// One property.
    pub fn one(bit: u32, value: Vec<u8>) -> Self {
        Self { flags: 1 << bit, values: value }
    }

    /// Headers: the entries of a table.
    pub fn headers(entries: &[u8]) -> Self {
        Self::one(13, long(entries))
    }
}

/// A connection with a channel in confirm mode.
pub struct Wire(TcpStream);

impl Wire {
    /// Connects to a virtual host.
    ///
    /// # Errors
    /// If the broker does not answer as AMQP has it.
    pub fn connect(url: &Url) -> io::Result<Self> {
        let address = (url.host_str().unwrap_or("127.0.0.1"), url.port().unwrap_or(5672));
        let socket = TcpStream::connect(address)?;
        socket.set_write_timeout(Some(LIMIT))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(LIMIT))?;
        let mut wire = Self(socket);
        wire.0.write_all(b"AMQP\0\0\x09\x01")?;
        wire.expect(10, 10)?;
        let decoded = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
        let user = decoded(url.username());
        let password = decoded(url.password().unwrap_or_default());
        let plain = [&[0][..], &user, &[0], &password].concat();
        wire.method(0, 10, 11, &[long(&[]), short(b"PLAIN"), long(&plain), short(b"en_US")].concat())?;
        wire.expect(10, 30)?;
        wire.method(
            0,
            10,
            31,
            &[&2_047_u16.to_be_bytes()[..], &131_072_u32.to_be_bytes(), &0_u16.to_be_bytes()].concat(),
        )?;
        let host = decoded(url.path().trim_start_matches('/'));
        wire.method(0, 10, 40, &[short(&host), vec![0, 0]].concat())?;
        wire.expect(10, 41)?;
        wire.method(1, 20, 10, &[0])?;
        wire.expect(20, 11)?;
        wire.method(1, 85, 10, &[0])?;
        wire.expect(85, 11)?;
        Ok(wire)
    }

    /// Publishes a message and waits for what the broker says. A refusal ends the connection.
    ///
    /// # Errors
    /// If the broker says nothing.
    pub fn publish(&mut self, exchange: &str, key: &[u8], properties: &Properties, body: &[u8]) -> io::Result<Answer> {
        let names = [vec![0, 0], short(exchange.as_bytes()), short(key), vec![0]].concat();
        self.method(1, 60, 40, &names)?;
        let mut header = [0, 60, 0, 0].to_vec();
        header.extend_from_slice(&(body.len() as u64).to_be_bytes());
        header.extend_from_slice(&properties.flags.to_be_bytes());
        header.extend_from_slice(&properties.values);
        self.frame(2, 1, &header)?;
        for piece in body.chunks(FRAME) {
            // The broker may have closed the connection because of the header.
            if self.frame(3, 1, piece).is_err() {
                return Ok(Answer::Refused);
            }
        }
        loop {
            match self.read() {
                Ok((1, payload)) => match payload.get(..4) {
                    Some([0, 60, 0, 80]) => return Ok(Answer::Confirmed),
                    Some([0, 60, 0, 120] | [0, 20, 0, 40] | [0, 10, 0, 50]) => return Ok(Answer::Refused),
                    _ => {}
                },
                Ok(_) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return Err(error);
                }
                Err(_) => return Ok(Answer::Refused),
            }
        }
    }

    fn method(&mut self, channel: u16, class: u16, method: u16, arguments: &[u8]) -> io::Result<()> {
        self.frame(1, channel, &[&class.to_be_bytes()[..], &method.to_be_bytes(), arguments].concat())
    }

    fn frame(&mut self, kind: u8, channel: u16, payload: &[u8]) -> io::Result<()> {
        let size = u32::try_from(payload.len()).map_err(io::Error::other)?;
        let channel = channel.to_be_bytes();
        let frame = [&[kind][..], &channel, &size.to_be_bytes(), payload, &[0xce]].concat();
        self.0.write_all(&frame)
    }

    fn read(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut start = [0; 7];
        self.0.read_exact(&mut start)?;
        let size = u32::from_be_bytes([start[3], start[4], start[5], start[6]]) as usize;
        let mut payload = vec![0; size + 1];
        self.0.read_exact(&mut payload)?;
        payload.pop();
        Ok((start[0], payload))
    }

    fn expect(&mut self, class: u16, method: u16) -> io::Result<()> {
        loop {
            let (kind, payload) = self.read()?;
            let found = payload
                .get(..4)
                .map(|ids| (u16::from_be_bytes([ids[0], ids[1]]), u16::from_be_bytes([ids[2], ids[3]])));
            if kind == 1 && found == Some((class, method)) {
                return Ok(());
            }
            if kind == 1 {
                return Err(io::Error::other(format!("the broker sent {found:?} instead of {class}.{method}")));
            }
        }
    }
}
