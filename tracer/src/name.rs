//! Names that somebody else chose (a process, a path): shown, never obeyed.

use std::fmt::{self, Display, Write};

/// The name of a process or thread as the kernel keeps it: up to 15 bytes that the process chose.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Comm(pub [u8; 16]);

impl Comm {
    /// The bytes before the padding.
    pub fn bytes(&self) -> &[u8] {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
        &self.0[..end]
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.0[0] == 0
    }
}

impl From<&str> for Comm {
    /// Keeps the first 15 bytes, as the kernel does.
    fn from(name: &str) -> Self {
        let mut bytes = [0; 16];
        let kept = &name.as_bytes()[..name.len().min(15)];
        bytes[..kept.len()].copy_from_slice(kept);
        Self(bytes)
    }
}

impl Display for Comm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape(self.bytes(), f)
    }
}

impl fmt::Debug for Comm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Bytes as text that no terminal obeys and no log parser trips over.
pub fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    // A String takes every write.
    let _ = escape(bytes, &mut text);
    text
}

/// Writes control characters, invalid UTF-8 and characters that reorder or hide text as `\xNN` or `\u{…}`.
fn escape(bytes: &[u8], to: &mut impl Write) -> fmt::Result {
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\n' => to.write_str("\\n")?,
                '\t' => to.write_str("\\t")?,
                control if control.is_ascii_control() => write!(to, "\\x{:02x}", u32::from(control))?,
                hidden if misleads(hidden) => write!(to, "\\u{{{:x}}}", u32::from(hidden))?,
                plain => to.write_char(plain)?,
            }
        }
        for byte in chunk.invalid() {
            write!(to, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}

/// Control characters beyond ASCII, and those that change the direction of text or have no width.
fn misleads(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::{Comm, printable};

    #[test]
    fn a_terminal_escape_is_shown() {
        assert_eq!(printable(b"\x1b[31mred\x07"), "\\x1b[31mred\\x07");
        assert_eq!(printable(b"two\nlines\tand \xff"), "two\\nlines\\tand \\xff");
        assert_eq!(printable("evil\u{202e}txt".as_bytes()), "evil\\u{202e}txt");
    }

    #[test]
    fn an_honest_name_is_left_alone() {
        assert_eq!(printable("nginx: worker (ÿ)".as_bytes()), "nginx: worker (ÿ)");
        assert_eq!(Comm::from("a-name-longer-than-15").to_string(), "a-name-longer-t");
    }
}
