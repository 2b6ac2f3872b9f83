//! Types that are known to be more than numbers and bytes: as the big projects have them, in words of
//! our own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests: to fail is the point.

mod codec_support;
#[path = "common/order.rs"]
mod order;

use bpffuse::btf::Btf;
use bpffuse::codec::{Codec, NameMatch, Shape, TextErrorKind};
use codec_support::blob::Blob;
use order::host_order;

/// The types that most of these are made of.
struct Bases {
    blob: Blob,
    u8s: u32,
    u16s: u32,
    u32s: u32,
    u64s: u32,
    be16: u32,
    be32: u32,
}

fn bases() -> Bases {
    let mut blob = Blob::new();
    let u8s = blob.int("unsigned char", 1, 0);
    let u16s = blob.int("unsigned short", 2, 0);
    let u32s = blob.int("unsigned int", 4, 0);
    let u64s = blob.int("unsigned long long", 8, 0);
    let be16 = blob.alias(8, "__be16", u16s);
    let be32 = blob.alias(8, "__be32", u32s);
    Bases { blob, u8s, u16s, u32s, u64s, be16, be32 }
}

fn of(blob: &Blob, id: u32, size: usize, lpm: bool) -> Codec {
    let btf = Btf::parse(&blob.finish(), None).unwrap();
    let shape = Shape {
        key_size: size,
        value_size: size,
        cpus: None,
        key_type_id: id,
        value_type_id: id,
        lpm,
    };
    let codec = Codec::new(&shape, Some(&btf));
    assert_eq!(codec.fallback(), None);
    codec
}

fn print(codec: &Codec, bytes: &[u8]) -> String {
    let mut out = Vec::new();
    codec.print_value(bytes, &mut out);
    String::from_utf8(out).unwrap()
}

#[track_caller]
fn parse(codec: &Codec, text: &str, bytes: &[u8]) {
    let mut found = vec![0; bytes.len()];
    if let Err(error) = codec.parse_value(text.as_bytes(), &mut found) {
        panic!("{text}: {error}");
    }
    assert_eq!(found, bytes, "{text}");
}

#[track_caller]
fn named(codec: &Codec, key: &[u8], name: &str) {
    let mut out = Vec::new();
    codec.key_name(key, &mut out);
    assert_eq!(String::from_utf8(out).unwrap(), name);
    means(codec, name, key);
}

#[track_caller]
fn means(codec: &Codec, name: &str, key: &[u8]) {
    let mut found = Vec::new();
    match codec.parse_name(name.as_bytes(), &mut found) {
        Ok(matched) => assert_eq!((matched, &*found), (NameMatch::Exact, key), "{name}"),
        Err(error) => panic!("{name}: {error}"),
    }
}

#[track_caller]
fn no_name(codec: &Codec, name: &str, reason: &str) {
    let error = codec.parse_name(name.as_bytes(), &mut Vec::new()).unwrap_err();
    assert_eq!((error.kind, &*error.reason), (TextErrorKind::Invalid, reason), "{name}");
}

#[test]
fn members_with_a_word_for_an_address() {
    let Bases { mut blob, u32s, be16, be32, .. } = bases();
    let flow = blob.record(
        4,
        "flow",
        24,
        &[
            ("saddr", be32, 0, 0),
            ("remote_ip4", be32, 32, 0),
            ("seq", be32, 64, 0),
            ("ipv4", u32s, 96, 0),
            ("daddr", u32s, 128, 0),
            ("src_port", be16, 160, 0),
            ("dport", be16, 176, 0),
        ],
    );
    let codec = of(&blob, flow, 24, false);
    let seven = 7_u32.to_ne_bytes();
    let bytes =
        [&[10, 0, 0, 1, 10, 0, 0, 2, 0, 0, 0, 9, 10, 0, 0, 3], &seven[..], &[0, 80, 1, 187]];
    let bytes = bytes.concat();
    let text = r#"{"saddr":"10.0.0.1","remote_ip4":"10.0.0.2","seq":9,"ipv4":"10.0.0.3","daddr":7,"src_port":80,"dport":443}"#;
    assert_eq!(print(&codec, &bytes), text);
    parse(&codec, text, &bytes);
    // Numbers as before: in host order, of which `__be32` are stored in network order.
    let ipv4 = host_order(50_331_658, 167_772_163);
    let numbers = format!(
        r#"{{"saddr":167772161,"remote_ip4":"0x0a000002","seq":9,"ipv4":{ipv4},"daddr":7,"src_port":80,"dport":443}}"#
    );
    parse(&codec, &numbers, &bytes);
    let name =
        "saddr=10.0.0.1,remote_ip4=10.0.0.2,seq=9,ipv4=10.0.0.3,daddr=7,src_port=80,dport=443";
    named(&codec, &bytes, name);
    let any_order = format!(
        "dport=443,ipv4={ipv4},saddr=167772161,remote_ip4=10.0.0.2,src_port=80,seq=9,daddr=7"
    );
    means(&codec, &any_order, &bytes);
    let mut value = bytes;
    let error = codec.parse_value(br#"{"saddr":"10.0.0"}"#, &mut value).unwrap_err();
    assert_eq!(error.reason, "saddr: `10.0.0` is not an IPv4 address such as 10.0.0.1");
    let error = codec.parse_value(br#"{"saddr":4294967296}"#, &mut value).unwrap_err();
    assert_eq!(error.kind, TextErrorKind::Range);
}

#[test]
fn typedefs_and_arrays_with_a_word() {
    let Bases { mut blob, u32s, u64s, be32, u8s, .. } = bases();
    let peer = blob.alias(8, "peer_addr_t", be32);
    let (ksym, hex) = (blob.alias(8, "ksym_t", u64s), blob.alias(8, "hex32_t", u32s));
    let (peers, raw) = (blob.array(be32, 2), blob.array(u8s, 16));
    let group = blob.record(
        4,
        "group",
        48,
        &[
            ("first", peer, 0, 0),
            ("flags", hex, 32, 0),
            ("at", ksym, 64, 0),
            ("vip", peers, 128, 0),
            ("addr", raw, 192, 0),
            ("cookie", u64s, 320, 0),
        ],
    );
    let codec = of(&blob, group, 48, false);
    let mut bytes = host_order(
        vec![10, 0, 0, 1, 0x1f, 0, 0, 0, 0x34, 0x12, 0, 0, 0, 0, 0, 0],
        vec![10, 0, 0, 1, 0, 0, 0, 0x1f, 0, 0, 0, 0, 0, 0, 0x12, 0x34],
    );
    bytes.extend([10, 0, 0, 2, 10, 0, 0, 3]);
    bytes.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    bytes.extend(7_u64.to_ne_bytes());
    let text = r#"{"first":"10.0.0.1","flags":"0x1f","at":"0x1234","vip":["10.0.0.2","10.0.0.3"],"addr":"fd00::1","cookie":7}"#;
    assert_eq!(print(&codec, &bytes), text);
    parse(&codec, text, &bytes);
    let plain = r#"{"first":167772161,"flags":31,"at":"0x1234 name+0x10","vip":[167772162,167772163],"addr":[253,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1],"cookie":7}"#;
    parse(&codec, plain, &bytes);
    // A key of such a type alone.
    let codec = of(&blob, peer, 4, false);
    named(&codec, &[10, 0, 0, 1], "10.0.0.1");
    means(&codec, "167772161", &[10, 0, 0, 1]);
    // A number, as it was listed before it was known to be an address; hex where it is none.
    means(&codec, "12345678", &12_345_678_u32.to_be_bytes());
    means(&codec, "0a000001", &[10, 0, 0, 1]);
    let v4 = blob.record(4, "in_addr", 4, &[("s_addr", be32, 0, 0)]);
    let codec = of(&blob, v4, 4, false);
    named(&codec, &[10, 0, 0, 1], "10.0.0.1");
    means(&codec, "12345678", &[0x12, 0x34, 0x56, 0x78]);
    means(&codec, "167772161", &[10, 0, 0, 1]);
    parse(&codec, "167772161", &[10, 0, 0, 1]);
    named(&of(&blob, hex, 4, false), &255_u32.to_ne_bytes(), "0xff");
    // A typedef of another size is none of ours.
    let odd = blob.alias(8, "hex64_t", u32s);
    named(&of(&blob, odd, 4, false), &255_u32.to_ne_bytes(), "255");
}

/// Either an address of 4 bytes or one of 16.
fn either(bases: &mut Bases) -> u32 {
    let v6 = bases.blob.array(bases.be32, 4);
    bases.blob.record(5, "", 16, &[("vip", bases.be32, 0, 0), ("vipv6", v6, 0, 0)])
}

#[test]
fn keys_with_one_of_two_addresses() {
    let mut bases = bases();
    let either = either(&mut bases);
    let Bases { mut blob, u8s, u16s, .. } = bases;
    let vip = blob.record(
        4,
        "vip_definition",
        20,
        &[("", either, 0, 0), ("port", u16s, 128, 0), ("proto", u8s, 144, 0)],
    );
    let codec = of(&blob, vip, 20, false);
    let mut key = [0; 20];
    key[..4].copy_from_slice(&[10, 200, 1, 1]);
    key[16..18].copy_from_slice(&80_u16.to_ne_bytes());
    key[18] = 6;
    named(&codec, &key, "vip=10.200.1.1,port=80,proto=6");
    means(&codec, "vip=180879617,port=80,proto=6", &key);
    means(&codec, "vipv6=ac8:101::,port=80,proto=6", &key);
    means(&codec, "proto=6,port=80,vip=10.200.1.1", &key);
    assert_eq!(print(&codec, &key), r#"{"vip":"10.200.1.1","port":80,"proto":6}"#);
    key[15] = 1;
    named(&codec, &key, "vipv6=ac8:101::1,port=80,proto=6");
    parse(&codec, r#"{"vipv6":"ac8:101::1","port":80,"proto":6}"#, &key);
    // What was printed once, a number for each word.
    parse(&codec, r#"{"vipv6":[180879617,0,0,1],"port":80,"proto":6}"#, &key);
    no_name(
        &codec,
        "vip=10.0.0.1,vipv6=fd00::1,port=80,proto=6",
        "vipv6: `vip` is in the same union: give one of them",
    );
    no_name(&codec, "port=80,proto=6", "the member vip is missing");
    no_name(&codec, "vip=10.0.0.1,port=80", "the member proto is missing");
    // Padding that is not zero: hex.
    key[19] = 1;
    let hex = host_order(
        "0ac8010100000000000000000000000150000601",
        "0ac8010100000000000000000000000100500601",
    );
    named(&codec, &key, hex);
}

/// Three ways to see 16 bytes, as the source and the destination of a tuple.
#[test]
fn unions_named_by_their_address() {
    let Bases { mut blob, u8s, u16s, u32s, u64s, be16, .. } = bases();
    let words = [("p1", u32s, 0, 0), ("p2", u32s, 32, 0), ("p3", u32s, 64, 0), ("p4", u32s, 96, 0)];
    let words = blob.record(4, "", 16, &words);
    let halves = blob.record(4, "", 16, &[("d1", u64s, 0, 0), ("d2", u64s, 64, 0)]);
    let octets = blob.array(u8s, 16);
    let v6 = blob.record(
        5,
        "v6addr",
        16,
        &[("", words, 0, 0), ("", halves, 0, 0), ("addr", octets, 0, 0)],
    );
    let tuple = blob.record(
        4,
        "ipv6_ct_tuple",
        40,
        &[
            ("daddr", v6, 0, 0),
            ("saddr", v6, 128, 0),
            ("dport", be16, 256, 0),
            ("sport", be16, 272, 0),
            ("nexthdr", u8s, 288, 0),
            ("flags", u8s, 296, 0),
            ("pad_", u16s, 304, 0),
        ],
    );
    let codec = of(&blob, tuple, 40, false);
    let mut key = [0; 40];
    (key[0], key[15], key[16], key[31]) = (0xfd, 1, 0xfd, 2);
    key[32..38].copy_from_slice(&[0, 80, 1, 187, 6, 1]);
    let name = "daddr.addr=fd00::1,saddr.addr=fd00::2,dport=80,sport=443,nexthdr=6,flags=1,pad_=0";
    named(&codec, &key, name);
    means(&codec, name.trim_end_matches(",pad_=0"), &key);
    let words = host_order(
        "daddr.p1=253,daddr.p2=0,daddr.p3=0,daddr.p4=0x01000000,saddr.d1=253,saddr.d2=0x0200000000000000",
        "daddr.p1=0xfd000000,daddr.p2=0,daddr.p3=0,daddr.p4=1,saddr.d1=0xfd00000000000000,saddr.d2=2",
    );
    means(&codec, &format!("{words},dport=80,sport=443,nexthdr=6,flags=1"), &key);
    let few = "daddr.p1=253,saddr.addr=fd00::2,dport=80,sport=443,nexthdr=6,flags=1";
    no_name(&codec, few, "the member daddr.p2 is missing");
    let text = r#"{"daddr":{"addr":"fd00::1"},"saddr":{"addr":"fd00::2"},"dport":80,"sport":443,"nexthdr":6,"flags":1,"pad_":0}"#;
    assert_eq!(print(&codec, &key), text);
    parse(&codec, text, &key);
}

#[test]
fn sixteen_bytes_beside_an_address() {
    let Bases { mut blob, u8s, be32, .. } = bases();
    let octets = blob.array(u8s, 16);
    let words = blob.array(be32, 4);
    let beside = blob.record(5, "u", 16, &[("data", octets, 0, 0), ("v6", words, 0, 0)]);
    let key = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    assert_eq!(print(&of(&blob, beside, 16, false), &key), r#"{"data":"fd00::1"}"#);
    // By itself it is bytes.
    let alone = blob.record(4, "s", 16, &[("data", octets, 0, 0)]);
    assert!(print(&of(&blob, alone, 16, false), &key).starts_with(r#"{"data":[253,0,"#));
}

/// A prefix, static bytes, and a union of addresses.
#[test]
fn tries_with_more_than_an_address() {
    let mut bases = bases();
    let either = either(&mut bases);
    let Bases { mut blob, u8s, u16s, u32s, .. } = bases;
    let key = blob.record(
        4,
        "ipcache_key",
        24,
        &[
            ("prefixlen", u32s, 0, 0),
            ("cluster_id", u16s, 32, 0),
            ("pad1", u8s, 48, 0),
            ("family", u8s, 56, 0),
            ("", either, 64, 0),
        ],
    );
    let codec = of(&blob, key, 24, true);
    let mut bytes = [0; 24];
    bytes[..4].copy_from_slice(&64_u32.to_ne_bytes());
    bytes[7] = 1;
    bytes[8..12].copy_from_slice(&[10, 0, 0, 1]);
    named(&codec, &bytes, "prefixlen=64,cluster_id=0,pad1=0,family=1,vip=10.0.0.1");
    means(&codec, "vip=10.0.0.1,prefixlen=64,cluster_id=0,family=1", &bytes);
}

#[test]
fn keys_of_one_member_are_named_by_it() {
    let Bases { mut blob, u8s, u32s, .. } = bases();
    let mac = blob.array(u8s, 6);
    let ether = blob.record(4, "ethaddr", 6, &[("addr", mac, 0, 0)]);
    let codec = of(&blob, ether, 6, false);
    let key = [0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];
    named(&codec, &key, "aa:bb:cc:dd:ee:ff");
    for name in ["aabbccddeeff", "addr=aabbccddeeff", "addr=aa:bb:cc:dd:ee:ff"] {
        means(&codec, name, &key);
    }
    assert_eq!(print(&codec, &key), r#"{"addr":"aa:bb:cc:dd:ee:ff"}"#);
    parse(&codec, r#"{"addr":[170,187,204,221,238,255]}"#, &key);

    let index = blob.record(4, "index", 4, &[("ifindex", u32s, 0, 0)]);
    let outer = blob.record(4, "outer", 4, &[("in", index, 0, 0)]);
    for (id, path) in [(index, "ifindex"), (outer, "in.ifindex")] {
        let codec = of(&blob, id, 4, false);
        let seven = 7_u32.to_ne_bytes();
        named(&codec, &seven, "7");
        named(&codec, &12_345_678_u32.to_ne_bytes(), "12345678");
        means(&codec, "0x7", &seven);
        means(&codec, &format!("{path}=7"), &seven);
        // Hex that is no number.
        means(&codec, host_order("07000000", "00000007"), &seven);
    }

    let char = blob.int("char", 1, 1);
    let text = blob.array(char, 8);
    let dev = blob.record(4, "dev", 8, &[("name", text, 0, 0)]);
    let codec = of(&blob, dev, 8, false);
    named(&codec, b"eth0\0\0\0\0", "eth0");
    named(&codec, b"name=a\0\0", "name%3Da");
    means(&codec, "name=eth0", b"eth0\0\0\0\0");
    means(&codec, "a=b", b"a=b\0\0\0\0\0");

    let eight = blob.array(u8s, 8);
    let id = blob.record(4, "id", 8, &[("raw", eight, 0, 0)]);
    let codec = of(&blob, id, 8, false);
    named(&codec, &[1, 2, 3, 4, 5, 6, 7, 8], "0102030405060708");
    means(&codec, "raw=0102030405060708", &[1, 2, 3, 4, 5, 6, 7, 8]);
    // With padding in it, one member is not all.
    let padded = blob.record(4, "padded", 4, &[("a", u8s, 0, 0)]);
    named(&of(&blob, padded, 4, false), &[1, 0, 0, 0], "a=1");
    named(&of(&blob, padded, 4, false), &[1, 0, 0, 1], "01000001");
}

#[test]
fn padding_may_be_left_out_by_its_name() {
    let Bases { mut blob, u8s, u32s, .. } = bases();
    let names = ["pad", "__pad1", "reserved", "_x", "padding", "kept"];
    for (at, name) in names.into_iter().enumerate() {
        let key = blob.record(4, "k", 8, &[("a", u32s, 0, 0), (name, u8s, 32, 0)]);
        let codec = of(&blob, key, 8, false);
        let key = |last| [&1_u32.to_ne_bytes()[..], &[last, 0, 0, 0]].concat();
        named(&codec, &key(2), &format!("a=1,{name}=2"));
        if at < 5 {
            means(&codec, "a=1", &key(0));
        } else {
            no_name(&codec, "a=1", "the member kept is missing");
        }
    }
}

#[test]
fn a_part_of_a_value_as_one_text() {
    let Bases { mut blob, u32s, be32, .. } = bases();
    let inner = blob.record(4, "inner", 8, &[("b", u32s, 0, 0), ("src", be32, 32, 0)]);
    let outer = blob.record(4, "outer", 12, &[("a", u32s, 0, 0), ("in", inner, 32, 0)]);
    let codec = of(&blob, outer, 12, false);
    let bytes = |b: u32| [1_u32.to_ne_bytes(), b.to_ne_bytes(), [10, 0, 0, 1]].concat();
    let mut value = bytes(2);
    let part = codec.member(&[b"in", b".value"]).unwrap();
    assert_eq!(part.children(), None);
    assert!(!part.has_children());
    let mut out = Vec::new();
    part.print(&value, &mut out);
    assert_eq!(out, br#"{"b":2,"src":"10.0.0.1"}"#);
    part.parse(br#"{"b":3}"#, &mut value).unwrap();
    assert_eq!(value, bytes(3));
    assert!(codec.member(&[b".value"]).is_some());
    for none in [&[&b"a"[..], b".value"][..], &[b"in", b"src", b".value"], &[b".value", b"a"]] {
        assert!(codec.member(none).is_none(), "{none:?}");
    }
}
