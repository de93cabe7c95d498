//! The bytes of BTF: types, what follows them, and names; each read with a bound.

use super::BtfError;
use std::{ffi::CStr, ops::Range};

const MAGIC: u16 = 0xeb9f;
/// Bytes of the header that are known.
const HEADER: usize = 24;
/// Name, info, size or type: what every type begins with.
const COMMON: usize = 12;
/// Longest chain of typedefs and qualifiers that is followed.
const CHAIN: usize = 32;
/// Longest name with its end: `KSYM_NAME_LEN`,
/// <https://github.com/torvalds/linux/blob/v6.12/include/linux/kallsyms.h>.
const NAME: usize = 512;

/// The two sections, and where each type begins.
pub(super) struct Records {
    data: Vec<u8>,
    /// Indexed by type id; type 0 is `void` and has no place.
    places: Vec<u32>,
    names: Range<usize>,
}

/// The kinds a type can be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    Pointer,
    Array,
    Struct,
    Union,
    Enum,
    Forward,
    Typedef,
    Volatile,
    Const,
    Restrict,
    Function,
    Prototype,
    Variable,
    Section,
    Float,
    Tag,
    TypeTag,
    Enum64,
}

/// The common part of a type.
#[derive(Clone, Copy)]
pub(super) struct Type {
    /// Where its name begins; 0 for none.
    pub(super) name: u32,
    pub(super) kind: Kind,
    /// How many members, values or parameters follow.
    pub(super) count: u32,
    /// Members can be bit-fields, values are signed, a forward is a union.
    pub(super) flag: bool,
    /// Bytes, or the id of another type.
    pub(super) size_or_id: u32,
    body: usize,
}

impl Kind {
    /// The numbers: <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/btf.h>.
    fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::Int,
            2 => Self::Pointer,
            3 => Self::Array,
            4 => Self::Struct,
            5 => Self::Union,
            6 => Self::Enum,
            7 => Self::Forward,
            8 => Self::Typedef,
            9 => Self::Volatile,
            10 => Self::Const,
            11 => Self::Restrict,
            12 => Self::Function,
            13 => Self::Prototype,
            14 => Self::Variable,
            15 => Self::Section,
            16 => Self::Float,
            17 => Self::Tag,
            18 => Self::TypeTag,
            19 => Self::Enum64,
            _ => return None,
        })
    }

    /// Bytes after the common part.
    fn body(self, count: u32) -> usize {
        let count = count as usize;
        match self {
            Self::Int | Self::Variable | Self::Tag => 4,
            Self::Array => 12,
            Self::Struct | Self::Union | Self::Section | Self::Enum64 => 12 * count,
            Self::Enum | Self::Prototype => 8 * count,
            _ => 0,
        }
    }
}

impl Records {
    /// Looks over all types once.
    pub(super) fn parse(data: Vec<u8>) -> Result<Self, BtfError> {
        let [first, second, version, _] = *data.first_chunk().ok_or(BtfError::Cut("its header"))?;
        match u16::from_ne_bytes([first, second]) {
            MAGIC => {}
            swapped if swapped.swap_bytes() == MAGIC => return Err(BtfError::ByteOrder),
            other => return Err(BtfError::Magic(other)),
        }
        if version != 1 {
            return Err(BtfError::Version(version));
        }
        let types = section(&data, 8, "its types")?;
        let names = section(&data, 16, "its names")?;
        let text = data.get(names.clone()).unwrap_or_default();
        if text.first() != Some(&0) || text.last() != Some(&0) {
            return Err(BtfError::Names);
        }
        let mut records = Self { places: vec![0], names, data };
        let mut at = types.start;
        while at < types.end {
            let kind = word(&records.data, at + 4).map(kind_number).ok_or(BtfError::Cut("a type"))?;
            let Some(kind) = Kind::from_number(kind) else {
                return Err(BtfError::Kind { id: records.places.len(), kind });
            };
            let found = records.read(at).ok_or(BtfError::Cut("a type"))?;
            records.places.push(u32::try_from(at).map_err(|_| BtfError::Cut("4 GiB"))?);
            at = found.body + kind.body(found.count);
        }
        if at == types.end { Ok(records) } else { Err(BtfError::Cut("a type")) }
    }

    /// These, and those of a module ("split BTF"): its type numbers and names go on where these end.
    /// <https://github.com/torvalds/linux/blob/v6.12/kernel/bpf/btf.c>, `btf_parse_module`
    pub(super) fn and(&self, module: &[u8]) -> Result<Self, BtfError> {
        // Magic and version.
        let form = |data: &[u8]| data.first_chunk::<3>().copied();
        if form(module) != form(&self.data) {
            return Err(BtfError::Cut("its header"));
        }
        let mut data = self.data.get(..HEADER).ok_or(BtfError::Cut("its header"))?.to_vec();
        let mut lengths = [0, 0];
        for (length, (at, what)) in lengths.iter_mut().zip([(8, "its types"), (16, "its names")]) {
            for of in [&self.data, module] {
                let bytes = of.get(section(of, at, what)?).ok_or(BtfError::Cut(what))?;
                data.extend(bytes);
                *length += bytes.len();
            }
        }
        let [types, names] = lengths;
        for (place, number) in [HEADER, 0, types, types, names].into_iter().enumerate() {
            let number = u32::try_from(number).map_err(|_| BtfError::Cut("4 GiB"))?;
            let at = 4 + place * 4;
            data[at..at + 4].copy_from_slice(&number.to_ne_bytes());
        }
        Self::parse(data)
    }

    /// All that was given.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.data
    }

    /// Every type with its id.
    pub(super) fn all(&self) -> impl Iterator<Item = (u32, Type)> + '_ {
        (1..).zip(self.places.iter().skip(1)).filter_map(|(id, at)| Some((id, self.read(*at as usize)?)))
    }

    /// A type by its id; `None` for `void` and for what is not there.
    pub(super) fn get(&self, id: u32) -> Option<Type> {
        let place = self.places.get(id as usize).filter(|_| id != 0)?;
        self.read(*place as usize)
    }

    /// Sees through typedefs and qualifiers.
    pub(super) fn resolve(&self, mut id: u32) -> Option<Type> {
        for _ in 0..CHAIN {
            let found = self.get(id)?;
            match found.kind {
                Kind::Typedef | Kind::Volatile | Kind::Const | Kind::Restrict | Kind::TypeTag => {
                    id = found.size_or_id;
                }
                _ => return Some(found),
            }
        }
        None
    }

    /// The `index`th record of what follows a type, as words.
    pub(super) fn record<const WORDS: usize>(&self, of: Type, index: u32) -> Option<[u32; WORDS]> {
        let start = of.body + index as usize * WORDS * 4;
        let mut words = [0; WORDS];
        for (index, place) in words.iter_mut().enumerate() {
            *place = word(&self.data, start + index * 4)?;
        }
        Some(words)
    }

    /// The bytes of a name; `None` for no name.
    pub(super) fn name(&self, offset: u32) -> Option<&[u8]> {
        let names = self.names_from(offset)?;
        let name = CStr::from_bytes_until_nul(names.get(..NAME).unwrap_or(names)).ok()?;
        (!name.is_empty()).then(|| name.to_bytes())
    }

    /// A name as text.
    pub(super) fn text(&self, offset: u32) -> Option<&str> {
        str::from_utf8(self.name(offset)?).ok()
    }

    /// Whether this name is there.
    pub(super) fn is_named(&self, offset: u32, name: &str) -> bool {
        let rest = self.names_from(offset).and_then(|names| names.strip_prefix(name.as_bytes()));
        rest.is_some_and(|rest| rest.first() == Some(&0))
    }

    fn names_from(&self, offset: u32) -> Option<&[u8]> {
        self.data.get(self.names.clone())?.get(offset as usize..)
    }

    /// `None` when the kind is unknown or the type is cut off.
    fn read(&self, at: usize) -> Option<Type> {
        let info = word(&self.data, at + 4)?;
        let (kind, count) = (Kind::from_number(kind_number(info))?, info & 0xffff);
        let body = at + COMMON;
        self.data.get(body..body + kind.body(count))?;
        let (name, size_or_id) = (word(&self.data, at)?, word(&self.data, at + 8)?);
        Some(Type { name, kind, count, flag: info >> 31 == 1, size_or_id, body })
    }
}

/// The section whose offset, from the end of the header, and length stand at this place of the header.
fn section(data: &[u8], at: usize, what: &'static str) -> Result<Range<usize>, BtfError> {
    let field = |at| word(data, at).map(|word| word as usize).ok_or(BtfError::Cut("its header"));
    let (header, offset, length) = (field(4)?, field(at)?, field(at + 4)?);
    let start = header.checked_add(offset);
    let end = start.and_then(|start| start.checked_add(length)).filter(|end| *end <= data.len());
    start.zip(end).map(|(start, end)| start..end).ok_or(BtfError::Cut(what))
}

fn kind_number(info: u32) -> u32 {
    (info >> 24) & 0x1f
}

fn word(data: &[u8], at: usize) -> Option<u32> {
    let bytes = data.get(at..)?.first_chunk()?;
    Some(u32::from_ne_bytes(*bytes))
}
