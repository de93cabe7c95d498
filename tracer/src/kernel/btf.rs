//! Reads BTF: where the running kernel keeps what, how it numbers things, and what its functions take.
//!
//! The format: <https://github.com/torvalds/linux/blob/v6.12/Documentation/bpf/btf.rst>. Every byte is looked at with
//! a bound and every walk has an end, so that a file given by a person can do no harm.

mod index;
mod record;
#[cfg(test)]
mod tests;

use self::{
    index::Index,
    record::{Kind, Records, Type},
};
use std::{fs, io, path::Path, path::PathBuf, sync::OnceLock};

/// Where the kernel shows its own.
const SYSFS: &str = "/sys/kernel/btf/vmlinux";
/// Deepest nest of arrays, pointers or anonymous members that is followed.
const DEPTH: u32 = 32;
/// Members looked at in one look-up, so that a nest of anonymous members that hold themselves ends soon.
const MEMBERS: u32 = 100_000;
/// Bytes of a pointer: only 64-bit kernels are read.
const POINTER: u32 = 8;

/// Why a BTF cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BtfError {
    /// The file is not there or cannot be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why not; `NotFound` for the kernel's own means built without `CONFIG_DEBUG_INFO_BTF`.
        source: io::Error,
    },
    /// It begins otherwise.
    #[error("this is not BTF: it begins with {0:#06x} and not with 0xeb9f")]
    Magic(u16),
    /// Made for a machine of the other byte order.
    #[error("this BTF is of the other byte order")]
    ByteOrder,
    /// Another version of the format.
    #[error("this BTF has version {0}; only version 1 is known")]
    Version(u8),
    /// Something lies outside the file.
    #[error("this BTF ends inside {0}")]
    Cut(&'static str),
    /// The names do not begin and end with a zero byte.
    #[error("the names in this BTF are not terminated")]
    Names,
    /// A kind that is newer than this program, or no kind at all.
    #[error("type {id} of this BTF is of kind {kind}, which is not known")]
    Kind {
        /// Which type.
        id: usize,
        /// Its kind.
        kind: u32,
    },
}

/// A place inside a structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Bytes from the start of the structure; of a bit-field, the byte that holds its first bit.
    pub offset_bytes: u32,
    /// Its bytes; of a bit-field, the bytes it touches.
    pub size_bytes: u32,
    /// Its first bit in the byte at the offset, 0 to 7; 0 unless it is a bit-field.
    pub bit_in_byte: u8,
    /// Its bits: eight times its bytes unless it is a bit-field.
    pub bits: u32,
}

/// A parameter of a kernel function, or an argument of a tracepoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name, if BTF has it.
    pub name: Option<String>,
    /// Its type as C writes it: `const struct sk_buff *`, `enum sk_rst_reason`, `int`; `...` for the rest.
    pub type_name: String,
}

/// The types of a kernel.
pub struct Btf {
    records: Records,
    /// Structures, unions, enums and typedefs.
    named: Index,
    /// Two of five types are functions, and few are ever asked for.
    functions: OnceLock<Index>,
    enumerations: Vec<u32>,
}

/// A member as it is stored.
struct Field {
    at_bits: u32,
    /// 0: as its type says.
    bits: u32,
    type_id: u32,
}

impl Btf {
    /// The running kernel's: about 5 MB, read in a few milliseconds.
    ///
    /// # Errors
    /// [`BtfError`].
    pub fn from_sysfs() -> Result<Self, BtfError> {
        Self::open(Path::new(SYSFS))
    }

    /// These types and those of a module that is loaded.
    ///
    /// # Errors
    /// [`BtfError`]; `NotFound` on kernels that show the types of no module, as before Linux 5.11.
    pub fn with_module(&self, module: &str) -> Result<Self, BtfError> {
        let path = Path::new(SYSFS).with_file_name(module);
        let data = fs::read(&path).map_err(|source| BtfError::Unreadable { path, source })?;
        Ok(Self::of(self.records.and(&data)?))
    }

    /// The bytes it was read from.
    pub(super) fn bytes(&self) -> &[u8] {
        self.records.bytes()
    }

    /// A file that holds BTF alone, with no ELF around it.
    ///
    /// # Errors
    /// [`BtfError`].
    pub fn open(path: &Path) -> Result<Self, BtfError> {
        let data = fs::read(path).map_err(|source| BtfError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(data)
    }

    /// Bytes that hold BTF alone.
    ///
    /// # Errors
    /// [`BtfError`], never `Unreadable`.
    pub fn parse(data: Vec<u8>) -> Result<Self, BtfError> {
        Ok(Self::of(Records::parse(data)?))
    }

    fn of(records: Records) -> Self {
        let enumeration = |kind| matches!(kind, Kind::Enum | Kind::Enum64);
        let named = Index::of(&records, |kind| {
            enumeration(kind) || matches!(kind, Kind::Struct | Kind::Union | Kind::Typedef)
        });
        let enumerations =
            records.all().filter(|(_, found)| enumeration(found.kind)).map(|(id, _)| id).collect();
        Self { records, named, functions: OnceLock::new(), enumerations }
    }

    /// Where `path` (`a.b.c`) lies in the structure, union or typedef of this name. Typedefs and qualifiers are seen
    /// through, anonymous structures and unions are searched, pointers and arrays are not followed. `None` when there
    /// is no such structure or member. Where several structures have the name, the first that has the member counts.
    pub fn member(&self, structure: &str, path: &str) -> Option<Member> {
        self.named.find(&self.records, structure).find_map(|(id, _)| self.member_of(id, path))
    }

    /// Bytes of the structure, union, enum or typedef of this name.
    pub fn size(&self, name: &str) -> Option<u32> {
        self.named.find(&self.records, name).find_map(|(id, _)| self.size_of(id, DEPTH))
    }

    /// Names and values of the enum, or typedef of one, of this name, in their order. Unsigned 64-bit values beyond
    /// `i64` wrap.
    pub fn enum_values(&self, name: &str) -> Option<Vec<(String, i64)>> {
        let mut enumerations = self.named.find(&self.records, name);
        let values = enumerations.find_map(|(id, _)| self.values(self.records.resolve(id)?))?;
        Some(values.filter_map(|(name, value)| Some((self.records.text(name)?.to_owned(), value))).collect())
    }

    /// The value of one name of the enum, or typedef of one, of this name.
    pub fn enum_value(&self, enumeration: &str, name: &str) -> Option<i64> {
        let mut enumerations = self.named.find(&self.records, enumeration);
        enumerations.find_map(|(id, _)| self.value(self.records.resolve(id)?, name))
    }

    /// The value of a name of any enum, also one without a name (`TCP_ESTABLISHED`): of the first that has it.
    pub fn enumerator(&self, name: &str) -> Option<i64> {
        self.enumerations.iter().find_map(|id| self.value(self.records.get(*id)?, name))
    }

    /// What the kernel function of this name takes; `None` when it does not exist or is inlined everywhere.
    pub fn function_params(&self, name: &str) -> Option<Vec<Parameter>> {
        let functions =
            self.functions.get_or_init(|| Index::of(&self.records, |kind| kind == Kind::Function));
        let mut found = functions.find(&self.records, name);
        found.find_map(|(_, function)| self.parameters(self.records.get(function.size_or_id)?))
    }

    /// Whether the kernel has a variable of this name of which each CPU has its own: BTF has no others.
    pub fn has_variable(&self, name: &str) -> bool {
        let mut variables = self.records.all().filter(|(_, found)| found.kind == Kind::Variable);
        variables.any(|(_, found)| self.records.is_named(found.name, name))
    }

    /// What a BTF tracepoint of this name hands over, without the leading `void *`; `None` when the kernel has no
    /// such tracepoint. Compilers keep no names there; [`Self::function_params`] of `__traceiter_NAME` has them.
    ///
    /// The typedef is `btf_trace_NAME` of `__DECLARE_TRACE` and its kin,
    /// <https://github.com/torvalds/linux/blob/v6.12/include/trace/bpf_probe.h>.
    pub fn tracepoint_args(&self, name: &str) -> Option<Vec<Parameter>> {
        let name = format!("btf_trace_{name}");
        let mut types = self.named.find(&self.records, &name);
        let (_, typedef) = types.find(|(_, found)| found.kind == Kind::Typedef)?;
        let pointer = self.records.get(typedef.size_or_id).filter(|found| found.kind == Kind::Pointer)?;
        let mut parameters = self.parameters(self.records.get(pointer.size_or_id)?)?;
        (!parameters.is_empty()).then(|| parameters.split_off(1))
    }

    fn size_of(&self, id: u32, depth: u32) -> Option<u32> {
        let found = self.records.resolve(id)?;
        match found.kind {
            Kind::Int | Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 | Kind::Float => {
                Some(found.size_or_id)
            }
            Kind::Pointer => Some(POINTER),
            Kind::Array => {
                let [element, _, length] = self.records.record(found, 0)?;
                self.size_of(element, depth.checked_sub(1)?)?.checked_mul(length)
            }
            _ => None,
        }
    }

    fn member_of(&self, structure: u32, path: &str) -> Option<Member> {
        let mut left = MEMBERS;
        let mut place = Field { at_bits: 0, bits: 0, type_id: structure };
        for name in path.split('.') {
            let inner = self.field(place.type_id, name, DEPTH, &mut left)?;
            place = Field { at_bits: place.at_bits.checked_add(inner.at_bits)?, ..inner };
        }
        let mut size = self.size_of(place.type_id, DEPTH)?;
        if let Some(int) = self.records.resolve(place.type_id).filter(|found| found.kind == Kind::Int)
            && place.bits == 0
        {
            // A structure without the flag says it in the integer: fewer bits than its bytes hold.
            let [encoding] = self.records.record(int, 0)?;
            if encoding & 0xff < size.checked_mul(8)? {
                place.bits = encoding & 0xff;
                place.at_bits = place.at_bits.checked_add((encoding >> 16) & 0xff)?;
            }
        }
        let bit = place.at_bits % 8;
        if place.bits == 0 {
            place.bits = size.checked_mul(8).filter(|_| bit == 0)?;
        } else {
            size = (bit + place.bits).div_ceil(8);
        }
        let bit_in_byte = u8::try_from(bit).ok()?;
        Some(Member { offset_bytes: place.at_bits / 8, size_bytes: size, bit_in_byte, bits: place.bits })
    }

    /// A member by name, also inside anonymous members; `left` counts down what may still be looked at.
    fn field(&self, structure: u32, name: &str, depth: u32, left: &mut u32) -> Option<Field> {
        let of =
            self.records.resolve(structure).filter(|of| matches!(of.kind, Kind::Struct | Kind::Union))?;
        for index in 0..of.count {
            *left = left.checked_sub(1)?;
            let [name_at, type_id, offset] = self.records.record(of, index)?;
            let (at_bits, bits) = if of.flag { (offset & 0x00ff_ffff, offset >> 24) } else { (offset, 0) };
            if name_at != 0 {
                if self.records.is_named(name_at, name) {
                    return Some(Field { at_bits, bits, type_id });
                }
            } else if let Some(depth) = depth.checked_sub(1)
                && let Some(inner) = self.field(type_id, name, depth, left)
            {
                return Some(Field { at_bits: at_bits.checked_add(inner.at_bits)?, ..inner });
            }
        }
        None
    }

    /// Names and values of an enum; `None` when it is none.
    fn values(&self, of: Type) -> Option<impl Iterator<Item = (u32, i64)> + '_> {
        let wide = of.kind == Kind::Enum64;
        let value = move |index| {
            if wide {
                let [name, low, high] = self.records.record(of, index)?;
                return Some((name, ((u64::from(high) << 32) | u64::from(low)).cast_signed()));
            }
            let [name, value] = self.records.record(of, index)?;
            Some((name, if of.flag { value.cast_signed().into() } else { value.into() }))
        };
        (wide || of.kind == Kind::Enum).then(|| (0..of.count).filter_map(value))
    }

    fn value(&self, of: Type, name: &str) -> Option<i64> {
        self.values(of)?.find(|(offset, _)| self.records.is_named(*offset, name)).map(|(_, value)| value)
    }

    fn parameters(&self, prototype: Type) -> Option<Vec<Parameter>> {
        if prototype.kind != Kind::Prototype {
            return None;
        }
        let parameter = |index| {
            let [name, type_id] = self.records.record(prototype, index)?;
            let variadic = name == 0 && type_id == 0;
            let type_name = if variadic { "...".to_owned() } else { self.type_name(type_id, DEPTH) };
            Some(Parameter { name: self.records.text(name).map(str::to_owned), type_name })
        };
        (0..prototype.count).map(parameter).collect()
    }

    /// As C writes it; `?` where it has no name or is too deep.
    fn type_name(&self, id: u32, depth: u32) -> String {
        let (Some(found), Some(depth)) = (self.records.get(id), depth.checked_sub(1)) else {
            return if id == 0 { "void" } else { "?" }.to_owned();
        };
        let name = self.records.text(found.name).unwrap_or("?");
        let inner = || self.type_name(found.size_or_id, depth);
        match found.kind {
            Kind::Struct => format!("struct {name}"),
            Kind::Union => format!("union {name}"),
            Kind::Enum | Kind::Enum64 => format!("enum {name}"),
            Kind::Forward => format!("{} {name}", if found.flag { "union" } else { "struct" }),
            Kind::Const => qualified("const", &inner()),
            Kind::Volatile => qualified("volatile", &inner()),
            Kind::Restrict | Kind::TypeTag => inner(),
            Kind::Pointer => match inner() {
                pointer if pointer.ends_with('*') => pointer + "*",
                other => other + " *",
            },
            Kind::Array => {
                let [element, _, length] = self.records.record(found, 0).unwrap_or_default();
                format!("{}[{length}]", self.type_name(element, depth))
            }
            Kind::Prototype => format!("{} ()", inner()),
            _ => name.to_owned(),
        }
    }
}

/// A qualifier stands before a plain type and after a pointer.
fn qualified(qualifier: &str, inner: &str) -> String {
    if inner.ends_with('*') { format!("{inner} {qualifier}") } else { format!("{qualifier} {inner}") }
}
