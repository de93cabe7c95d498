use super::{Btf, BtfError, Member, Parameter};
use std::path::Path;

const INT: u32 = 1;
const POINTER: u32 = 2;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const ENUM: u32 = 6;
const TYPEDEF: u32 = 8;
const CONST: u32 = 10;
const FUNCTION: u32 = 12;
const PROTOTYPE: u32 = 13;
const ENUM64: u32 = 19;
const FLAG: u32 = 1 << 31;

/// BTF in the making.
struct Blob {
    types: Vec<u32>,
    names: Vec<u8>,
    count: u32,
}

impl Blob {
    fn new() -> Self {
        Self { types: Vec::new(), names: vec![0], count: 0 }
    }

    fn name(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return 0;
        }
        let at = small_number(self.names.len());
        self.names.extend(name.bytes().chain([0]));
        at
    }

    /// Appends a type; strings of `body` are names. Returns its id.
    fn add(&mut self, name: &str, kind: u32, count: u32, size_or_id: u32, body: &[Word]) -> u32 {
        let name = self.name(name);
        let info = (kind & !FLAG) << 24 | kind & FLAG | count;
        self.types.extend([name, info, size_or_id]);
        for word in body {
            let word = match word {
                Word::Name(name) => self.name(name),
                Word::Number(number) => *number,
            };
            self.types.push(word);
        }
        self.count += 1;
        self.count
    }

    fn structure(&mut self, name: &str, kind: u32, size: u32, members: &[(&'static str, u32, u32)]) -> u32 {
        let word = |(name, id, offset): &(&'static str, u32, u32)| [Word::Name(name), n(*id), n(*offset)];
        let body: Vec<Word> = members.iter().flat_map(word).collect();
        self.add(name, kind, small_number(members.len()), size, &body)
    }

    fn bytes(&self) -> Vec<u8> {
        let types = small_number(self.types.len() * 4);
        let names = small_number(self.names.len());
        let mut bytes = 0xeb9f_u16.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        bytes.extend(
            [24, 0, types, types, names].iter().chain(&self.types).flat_map(|word| word.to_ne_bytes()),
        );
        bytes.extend(&self.names);
        bytes
    }
}

enum Word {
    Name(&'static str),
    Number(u32),
}

fn n(number: u32) -> Word {
    Word::Number(number)
}

fn whole(offset_bytes: u32, size_bytes: u32) -> Member {
    Member { offset_bytes, size_bytes, bit_in_byte: 0, bits: size_bytes * 8 }
}

fn small_number(length: usize) -> u32 {
    u32::try_from(length).expect("test blobs are small")
}

/// A kernel of a few types; one of each thing that a look-up meets.
fn small() -> Vec<u8> {
    let mut blob = Blob::new();
    let int = blob.add("int", INT, 0, 4, &[n(1 << 24 | 32)]);
    let three_bits = blob.add("unsigned int", INT, 0, 4, &[n(5 << 16 | 3)]);
    let port = blob.add("port_t", TYPEDEF, 0, int, &[]);
    let fixed = blob.add("", CONST, 0, port, &[]);
    let ports = blob.add("", ARRAY, 0, 0, &[n(fixed), n(int), n(4)]);
    let inner = blob.structure("", STRUCT, 8, &[("local", fixed, 0), ("remote", port, 32)]);
    let either = blob.structure("", UNION, 8, &[("pair", int, 0), ("", inner, 0)]);
    let sock =
        blob.structure("sock", STRUCT, 40, &[("head", int, 0), ("", either, 64), ("ports", ports, 128)]);
    let pointer = blob.add("", POINTER, 0, sock, &[]);
    let with_flag = [("sk", pointer, 0), ("low", int, (3 << 24) + 64), ("across", int, (10 << 24) + 70)];
    blob.structure("flags", STRUCT | FLAG, 16, &with_flag);
    blob.structure("old_flags", STRUCT, 16, &[("first", three_bits, 32)]);
    blob.structure("outer", STRUCT, 48, &[("sock", sock, 64)]);
    blob.add("reason", ENUM, 2, 4, &[Word::Name("NONE"), n(0), Word::Name("TIMEWAIT"), n(u32::MAX)]);
    let signed = blob.add("", ENUM | FLAG, 1, 4, &[Word::Name("MINUS"), n(u32::MAX)]);
    blob.add("signed_t", TYPEDEF, 0, signed, &[]);
    blob.add("wide", ENUM64, 1, 8, &[Word::Name("BIG"), n(5), n(1)]);
    let untyped = blob.add("", POINTER, 0, 0, &[]);
    let parameters = [Word::Name("sk"), n(pointer), Word::Name(""), n(fixed), n(0), n(0)];
    let prototype = blob.add("", PROTOTYPE, 3, 0, &parameters);
    blob.add("tcp_reset", FUNCTION, 0, prototype, &[]);
    let traced = blob.add("", PROTOTYPE, 2, 0, &[n(0), n(untyped), n(0), n(pointer)]);
    let traced = blob.add("", POINTER, 0, traced, &[]);
    blob.add("btf_trace_reset", TYPEDEF, 0, traced, &[]);
    blob.bytes()
}

/// The types of a module beside those of a small kernel: numbers and names go on where the kernel's end.
fn module() -> Vec<u8> {
    let kernel = small();
    let number = |at: usize| u32::from_ne_bytes(kernel[at..at + 4].try_into().expect("four bytes"));
    let known = Btf::parse(kernel.clone()).expect("good BTF");
    let count = small_number(known.records.all().count());
    let mut names = vec![0; number(20) as usize];
    let (own, mut blob) = (names.len(), Blob { types: Vec::new(), names: std::mem::take(&mut names), count });
    let (sock, _) = known.named.find(&known.records, "sock").next().expect("a structure");
    let pointer = blob.add("", POINTER, 0, sock, &[]);
    let prototype = blob.add("", PROTOTYPE, 1, 0, &[Word::Name("of"), n(pointer)]);
    blob.add("module_function", FUNCTION, 0, prototype, &[]);
    blob.names.drain(..own);
    blob.bytes()
}

#[test]
fn the_types_of_a_module_refer_to_the_kernels() {
    let kernel = Btf::parse(small()).expect("good BTF");
    let both = Btf::of(kernel.records.and(&module()).expect("good BTF"));
    let parameters = both.function_params("module_function").expect("the module's");
    assert_eq!(
        parameters,
        [Parameter { name: Some("of".to_owned()), type_name: "struct sock *".to_owned() }]
    );
    assert_eq!(both.function_params("tcp_reset"), kernel.function_params("tcp_reset"));
    assert_eq!(both.member("sock", "local"), kernel.member("sock", "local"));
    assert!(kernel.function_params("module_function").is_none());
    assert!(kernel.with_module("no such module").is_err());
}

#[test]
fn a_damaged_module_does_no_harm() {
    let kernel = Btf::parse(small()).expect("good BTF");
    let whole = module();
    for length in 0..whole.len() {
        if let Ok(both) = kernel.records.and(&whole[..length]) {
            ask(&Btf::of(both));
        }
    }
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0xff;
        if let Ok(both) = kernel.records.and(&damaged) {
            ask(&Btf::of(both));
        }
    }
}

fn error(data: Vec<u8>) -> BtfError {
    Btf::parse(data).err().expect("this is no BTF")
}

/// Asks everything that can be asked; no answer matters.
fn ask(btf: &Btf) {
    for (structure, path) in
        [("sock", "local"), ("outer", "sock.ports"), ("flags", "across"), ("old_flags", "first")]
    {
        let _ = btf.member(structure, path);
    }
    for name in ["sock", "reason", "signed_t", "wide"] {
        let _ = (btf.size(name), btf.enum_values(name), btf.enum_value(name, "BIG"), btf.enumerator("MINUS"));
    }
    let _ = (btf.function_params("tcp_reset"), btf.tracepoint_args("reset"));
}

#[test]
fn members_are_found_through_everything_but_pointers() {
    let btf = Btf::parse(small()).expect("good BTF");
    assert_eq!(btf.member("sock", "head"), Some(whole(0, 4)));
    assert_eq!(btf.member("sock", "remote"), Some(whole(12, 4)));
    assert_eq!(btf.member("sock", "ports"), Some(whole(16, 16)));
    assert_eq!(btf.member("outer", "sock.remote"), Some(whole(20, 4)));
    assert_eq!(btf.member("flags", "sk"), Some(whole(0, 8)));
    for (structure, path) in [
        ("flags", "sk.head"),
        ("sock", "ports.x"),
        ("sock", ""),
        ("sock", "heads"),
        ("reason", "NONE"),
        ("none", "x"),
    ] {
        assert_eq!(btf.member(structure, path), None, "{structure} {path}");
    }
    assert_eq!(
        (btf.size("sock"), btf.size("port_t"), btf.size("wide"), btf.size("x")),
        (Some(40), Some(4), Some(8), None)
    );
}

#[test]
fn bit_fields_say_where_their_bits_are() {
    let btf = Btf::parse(small()).expect("good BTF");
    let field = |offset_bytes, size_bytes, bit_in_byte, bits| {
        Some(Member { offset_bytes, size_bytes, bit_in_byte, bits })
    };
    assert_eq!(btf.member("flags", "low"), field(8, 1, 0, 3));
    assert_eq!(btf.member("flags", "across"), field(8, 2, 6, 10));
    assert_eq!(btf.member("old_flags", "first"), field(4, 1, 5, 3));
}

#[test]
fn enumerators_have_values() {
    let btf = Btf::parse(small()).expect("good BTF");
    let values = btf.enum_values("reason").expect("it is there");
    assert_eq!(values, [("NONE".to_owned(), 0), ("TIMEWAIT".to_owned(), i64::from(u32::MAX))]);
    assert_eq!(btf.enum_value("signed_t", "MINUS"), Some(-1));
    assert_eq!(btf.enumerator("MINUS"), Some(-1));
    assert_eq!(btf.enum_value("wide", "BIG"), Some((1 << 32) + 5));
    assert_eq!(
        (btf.enum_value("reason", "BIG"), btf.enumerator("NON"), btf.enum_values("sock")),
        (None, None, None)
    );
}

#[test]
fn parameters_have_types() {
    let btf = Btf::parse(small()).expect("good BTF");
    let parameter = |name: Option<&str>, type_name: &str| Parameter {
        name: name.map(str::to_owned),
        type_name: type_name.to_owned(),
    };
    let expected =
        [parameter(Some("sk"), "struct sock *"), parameter(None, "const port_t"), parameter(None, "...")];
    assert_eq!(btf.function_params("tcp_reset").expect("it is there"), expected);
    assert_eq!(btf.tracepoint_args("reset").expect("it is there"), [parameter(None, "struct sock *")]);
    assert_eq!((btf.function_params("sock"), btf.tracepoint_args("send_reset")), (None, None));
}

#[test]
fn what_is_no_btf_is_refused_with_its_reason() {
    assert!(matches!(error(Vec::new()), BtfError::Cut("its header")));
    assert!(matches!(error(b"\x7fELF".to_vec()), BtfError::Magic(0x457f)));
    let mut swapped = small();
    swapped.swap(0, 1);
    assert!(matches!(error(swapped), BtfError::ByteOrder));
    let mut newer = small();
    newer[2] = 2;
    assert!(matches!(error(newer), BtfError::Version(2)));
    let mut unterminated = small();
    *unterminated.last_mut().expect("it is there") = b'x';
    assert!(matches!(error(unterminated), BtfError::Names));
    let mut newer = Blob::new();
    newer.add("", 30, 0, 0, &[]);
    assert!(matches!(error(newer.bytes()), BtfError::Kind { id: 1, kind: 30 }));
    let mut cut = Blob::new();
    cut.add("sock", STRUCT, 3, 8, &[]);
    assert!(matches!(error(cut.bytes()), BtfError::Cut("a type")));
    let absent = Btf::open(Path::new("/nonexistent/vmlinux")).err().expect("it is there");
    assert!(matches!(absent, BtfError::Unreadable { .. }), "{absent}");
}

#[test]
fn no_cut_and_no_changed_byte_does_harm() {
    let good = small();
    for length in 0..good.len() {
        assert!(Btf::parse(good[..length].to_vec()).is_err(), "{length} of {} bytes", good.len());
    }
    for at in 0..good.len() {
        for value in [0, 1, 2, 0x0d, 0x7f, 0x80, 0xff] {
            let mut changed = good.clone();
            changed[at] = value;
            if let Ok(btf) = Btf::parse(changed) {
                ask(&btf);
            }
        }
    }
}

#[test]
fn types_that_hold_themselves_end() {
    let mut blob = Blob::new();
    blob.structure("sock", STRUCT, 8, &[("", 1, 0), ("", 1, 0), ("", 1, 0)]);
    blob.add("reason", TYPEDEF, 0, 2, &[]);
    let array = blob.add("", ARRAY, 0, 0, &[n(3), n(3), n(1)]);
    blob.structure("outer", STRUCT, 8, &[("sock", array, 0)]);
    let pointer = blob.add("", POINTER, 0, 5, &[]);
    let prototype = blob.add("", PROTOTYPE, 1, 0, &[n(0), n(pointer)]);
    blob.add("tcp_reset", FUNCTION, 0, prototype, &[]);
    let btf = Btf::parse(blob.bytes()).expect("good BTF");
    assert_eq!(
        (btf.member("sock", "local"), btf.member("outer", "sock"), btf.size("reason")),
        (None, None, None)
    );
    assert_eq!(btf.function_params("tcp_reset").expect("it is there").len(), 1);
}

#[test]
fn the_running_kernel_is_read() {
    if !Path::new(super::SYSFS).exists() {
        println!("SKIP the_running_kernel_is_read: this kernel has no BTF");
        return;
    }
    let btf = Btf::from_sysfs().expect("the kernel's BTF is good");
    let size = |structure, path| btf.member(structure, path).map(|member| member.size_bytes);
    assert_eq!(size("sock", "__sk_common.skc_daddr"), Some(4));
    assert_eq!(size("sock", "sk_err"), Some(4));
    assert_eq!(size("sock", "sk_lock.owned"), Some(4));
    assert_eq!(size("inet_sock", "inet_sport"), Some(2));
    assert_eq!(size("tcp_sock", "snd_una"), Some(4));
    assert_eq!(size("net", "ns.inum"), Some(4));
    assert_eq!(size("net", "ipv4.sysctl_tcp_fin_timeout"), Some(4));
    assert!(matches!(size("net", "ipv4.ip_local_ports.range"), Some(4 | 8)));
    assert_eq!(size("sk_buff", "head"), Some(8));
    assert_eq!(size("task_struct", "comm"), Some(16));
    let address = btf.member("sock", "__sk_common.skc_rcv_saddr").expect("it is there");
    assert_eq!(
        address.offset_bytes,
        btf.member("sock", "__sk_common.skc_daddr").expect("it is there").offset_bytes + 4
    );
    let error = btf.member("inet_connection_sock", "icsk_inet.sk.sk_err");
    assert_eq!(error, btf.member("sock", "sk_err"), "the socket comes first in each of its kinds");
    let backoff = btf.member("request_sock", "num_timeout").expect("it is there");
    assert_eq!((backoff.size_bytes, backoff.bits), (1, 7));
    assert_eq!((btf.enumerator("TCP_ESTABLISHED"), btf.enumerator("TCP_NEW_SYN_RECV")), (Some(1), Some(12)));
    assert_eq!(btf.enum_value("sock_flags", "SOCK_DEAD"), Some(0));
    if let Some(reasons) = btf.enum_values("sk_rst_reason") {
        assert!(reasons.iter().any(|(name, _)| name == "SK_RST_REASON_TCP_TIMEWAIT_SOCKET"));
    }
    let types: Vec<String> = btf
        .tracepoint_args("inet_sock_set_state")
        .expect("it is there")
        .into_iter()
        .map(|argument| argument.type_name)
        .collect();
    assert_eq!(types, ["const struct sock *", "const int", "const int"]);
    assert_eq!(btf.function_params("tcp_v4_rcv").expect("it is there")[0].type_name, "struct sk_buff *");
}
