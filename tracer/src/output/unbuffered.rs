//! Descriptors that get each line in one write.

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    unistd,
};
use std::{
    io::{self, Write},
    os::fd::AsFd,
};

/// Standard output without a buffer.
pub(super) struct Stdout;

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write(io::stdout(), bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One write. A descriptor that does not block (who shares it may have made it so) is waited for.
fn write(to: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match unistd::write(to.as_fd(), bytes) {
            Err(Errno::EAGAIN) => {
                match poll(&mut [PollFd::new(to.as_fd(), PollFlags::POLLOUT)], PollTimeout::NONE) {
                    Ok(_) | Err(Errno::EINTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            done => return Ok(done?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::write;
    use std::{io::Read, os::unix::net::UnixStream, thread};

    #[test]
    fn a_descriptor_that_does_not_block_is_waited_for() {
        let (to, mut from) = UnixStream::pair().expect("a pair");
        to.set_nonblocking(true).expect("a flag");
        let much = vec![b'x'; 4 << 20]; // more than a socket's buffer
        let length = much.len();
        let writer = thread::spawn(move || {
            let mut rest = &much[..];
            while !rest.is_empty() {
                rest = &rest[write(&to, rest).expect("room comes")..];
            }
        });
        let mut read = Vec::new();
        from.read_to_end(&mut read).expect("all of it");
        writer.join().expect("no panic");
        assert_eq!(read.len(), length);
    }
}
