/* Values and keys of many types, for the BPF object that declares maps of them (types.bpf.c) and
 * for the C program that stores values in these maps (store.c).
 *
 * VALUE(map, type, text, initialiser...): the text is the JSON that reading must give, with ' for ".
 * KEY(map, type, name, initialiser...): the name is the file name that listing must give.
 */
#include <linux/types.h>

/* As <linux/in.h> and <linux/in6.h> define them; those headers clash with libc's in store.c. */
struct in_addr { __be32 s_addr; };
struct in6_addr {
	union {
		__u8 u6_addr8[16];
		__be16 u6_addr16[8];
		__be32 u6_addr32[4];
	} in6_u;
};

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define BE16(x) (x)
#define BE32(x) (x)
#define BE64(x) (x)
#else
#define BE16(x) __builtin_bswap16(x)
#define BE32(x) __builtin_bswap32(x)
#define BE64(x) __builtin_bswap64(x)
#endif
#define IPV6 { .in6_u.u6_addr8 = { 0xfd, [15] = 1 } }

typedef __u8 byte_t;
typedef const byte_t const_byte_t;
typedef volatile const_byte_t deep_t;
typedef unsigned __int128 u128_t;
typedef __int128 s128_t;
typedef __u8 mac_t[6];
typedef __u32 quad_t[4];
typedef int matrix_t[2][3];
typedef char word_t[8];
typedef char words_t[2][4];
typedef void (*handler_t)(int, const char *);
typedef void *pointer_t;

enum verdict { DENY, ALLOW = 1, LOG = 7 };
enum level { LOW = -5, HIGH = 5 };
enum __attribute__((packed)) tiny { TINY_A = 1, TINY_Z = 200 };

struct opaque;
struct stats { __u64 packets; __u64 bytes; };
struct nested { __u32 id; struct stats in, out; struct { __s16 x; struct { __s8 y; } inner; } deep; };
struct folded { __u8 a; struct { __u8 b; struct { __u16 c; }; }; __u32 d; };
struct either { __u8 kind; union { __u32 v4; __u8 v6[16]; struct { __u16 port; __u16 flags; }; }; };
union choice { __u16 small; struct stats big; __u8 raw[16]; };
struct tagged { __u32 tag; union choice value; };
struct bits { __u32 a:1, b:3, c:12, d:16; __u64 e:40, f:20; __s32 g:5; __s32 h:27; };
struct wide_bits { __u64 a:63, b:64, c:1; __u8 tail; };
struct across { __u8 a:5; __u16 b:11; __u32 c:31; __u8 d:3; } __attribute__((packed));
struct bool_bits { _Bool on:1, off:1; enum verdict verdict:4; enum tiny tiny:8; };
struct bits_or { union { struct { __u8 low:4, high:4; }; __u8 both; }; __u8 next; };
/* Some machines would align it to 8 bytes, where BPF's compiler does not. */
struct big128 { __u8 lead; u128_t value __attribute__((aligned(16))); };
struct bits128 { u128_t a:100; u128_t b:28; };
struct packed { __u8 a; __u32 b; __u16 c; __u64 d; } __attribute__((packed));
struct aligned { __u8 a; __u32 b __attribute__((aligned(16))); __u8 c; } __attribute__((aligned(32)));
struct padded { __u8 a; __u64 b; __u8 c; };
struct names { char comm[16]; char path[5]; __s8 not_text[3]; unsigned char raw[3]; };
struct flexible { __u32 count; __u32 items[]; };
struct zero { __u32 count; struct stats none[0]; __u32 after; };
struct empty {};
struct with_empty { struct empty nothing; __u32 a; };
struct pointers { void *data; const struct opaque *opaque; handler_t handler; };
struct net { __be16 port; __be32 mask; __be64 cookie; struct in_addr v4; struct in6_addr v6; };
struct qualified { const __u32 a; volatile __u64 b; deep_t c; void *restrict d; };
struct mixed { _Bool ok; enum verdict verdict; float f; double d; char c; };
struct rows { struct stats row[2]; __u8 cube[2][2][2]; };
struct flow { struct in_addr saddr; struct in_addr daddr; __be16 sport; __be16 dport; __u8 proto; } __attribute__((packed));
struct big { struct nested list[3]; struct either last; };
struct v6_key { struct in6_addr addr; };
struct nested_key { struct { __u16 x; __s16 y; } at; __u8 mac[6]; char dev[8]; enum verdict verdict; };
struct array_key { __u16 v[3]; __u8 flag:1, rest:7; };
struct lpm4 { __u32 prefixlen; __u8 addr[4]; };
struct lpm6 { __u32 prefixlen; struct in6_addr addr; };
struct lpm_dev { __u32 prefixlen; __be32 ifindex; struct in_addr addr; };

#define VALUES \
VALUE(v_u8, __u8, "200", 200) \
VALUE(v_s8, __s8, "-100", -100) \
VALUE(v_u16, __u16, "65535", 65535) \
VALUE(v_s16, __s16, "-2", -2) \
VALUE(v_u32, __u32, "4000000000", 4000000000u) \
VALUE(v_s32, __s32, "-7", -7) \
VALUE(v_u64, __u64, "18446744073709551615", ~0ull) \
VALUE(v_s64, __s64, "-9223372036854775808", (-9223372036854775807ll - 1)) \
VALUE(v_u128, u128_t, "'0x10000000000000002'", ((u128_t)1 << 64 | 2)) \
VALUE(v_s128, s128_t, "'0xffffffffffffffffffffffffffffffff'", -1) \
VALUE(v_bool, _Bool, "true", 1) \
VALUE(v_char, char, "65", 'A') \
VALUE(v_verdict, enum verdict, "'LOG'", LOG) \
VALUE(v_nameless, enum verdict, "3", 3) \
VALUE(v_level, enum level, "'LOW'", LOW) \
VALUE(v_level_no, enum level, "-4", -4) \
VALUE(v_tiny, enum tiny, "'TINY_Z'", TINY_Z) \
VALUE(v_float, float, "1.5", 1.5f) \
VALUE(v_double, double, "-0.1", -0.1) \
VALUE(v_pointer, pointer_t, "'0xdeadbeef'", (void *)0xdeadbeef) \
VALUE(v_handler, handler_t, "'0x10'", (handler_t)0x10) \
VALUE(v_deep, deep_t, "9", 9) \
VALUE(v_mac, mac_t, "'02:00:00:ff:fe:01'", { 2, 0, 0, 255, 254, 1 }) \
VALUE(v_quad, quad_t, "[1,2,3,4]", { 1, 2, 3, 4 }) \
VALUE(v_matrix, matrix_t, "[[1,2,3],[-4,-5,-6]]", { { 1, 2, 3 }, { -4, -5, -6 } }) \
VALUE(v_word, word_t, "'hi'", "hi") \
VALUE(v_words, words_t, "['ab','wxyz']", { "ab", { 'w', 'x', 'y', 'z' } }) \
VALUE(v_stats, struct stats, "{'packets':3,'bytes':1500}", { 3, 1500 }) \
VALUE(v_nested, struct nested, "{'id':1,'in':{'packets':2,'bytes':3},'out':{'packets':4,'bytes':5},'deep':{'x':-6,'inner':{'y':-7}}}", { 1, { 2, 3 }, { 4, 5 }, { -6, { -7 } } }) \
VALUE(v_folded, struct folded, "{'a':1,'b':2,'c':3,'d':4}", { 1, { 2, { 3 } }, 4 }) \
VALUE(v_either, struct either, "{'kind':6,'v6':[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]}", { 6, { .v6 = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 } } }) \
VALUE(v_choice, union choice, "{'big':{'packets':8,'bytes':9}}", { .big = { 8, 9 } }) \
VALUE(v_tagged, struct tagged, "{'tag':1,'value':{'big':{'packets':8,'bytes':9}}}", { 1, { .big = { 8, 9 } } }) \
VALUE(v_bits, struct bits, "{'a':1,'b':5,'c':3000,'d':40000,'e':1000000000000,'f':1000000,'g':-16,'h':12345}", { 1, 5, 3000, 40000, 1000000000000, 1000000, -16, 12345 }) \
VALUE(v_wide_bits, struct wide_bits, "{'a':9223372036854775807,'b':18446744073709551615,'c':1,'tail':7}", { 0x7fffffffffffffff, ~0ull, 1, 7 }) \
VALUE(v_across, struct across, "{'a':21,'b':1999,'c':2000000000,'d':5}", { 21, 1999, 2000000000, 5 }) \
VALUE(v_bool_bits, struct bool_bits, "{'on':true,'off':false,'verdict':'LOG','tiny':'TINY_A'}", { 1, 0, LOG, TINY_A }) \
VALUE(v_bits_or, struct bits_or, "{'low':5,'high':10,'next':3}", { { { 5, 10 } }, 3 }) \
VALUE(v_big128, struct big128, "{'lead':1,'value':'0xffffffffffffffff0000000000000000'}", { 1, (u128_t)~0ull << 64 }) \
VALUE(v_bits128, struct bits128, "{'a':'0x8000000000000000000000001','b':268435455}", { ((u128_t)1 << 99) | 1, 268435455 }) \
VALUE(v_packed, struct packed, "{'a':1,'b':2,'c':3,'d':4}", { 1, 2, 3, 4 }) \
VALUE(v_aligned, struct aligned, "{'a':1,'b':2,'c':3}", { 1, 2, 3 }) \
VALUE(v_padded, struct padded, "{'a':1,'b':2,'c':3}", { 1, 2, 3 }) \
VALUE(v_names, struct names, "{'comm':'a \\\\ tab\\t','path':'12345','not_text':[-1,0,1],'raw':[65,66,0]}", { "a \\ tab\t", { '1', '2', '3', '4', '5' }, { -1, 0, 1 }, "AB" }) \
VALUE(v_flexible, struct flexible, "{'count':5,'items':[]}", { 5 }) \
VALUE(v_zero, struct zero, "{'count':5,'none':[],'after':6}", { .count = 5, .after = 6 }) \
VALUE(v_with_empty, struct with_empty, "{'nothing':{},'a':6}", { .a = 6 }) \
VALUE(v_pointers, struct pointers, "{'data':'0x0','opaque':'0x1000','handler':'0xffffffffffffffff'}", { 0, (void *)0x1000, (handler_t)~0ull }) \
VALUE(v_net, struct net, "{'port':80,'mask':255,'cookie':1,'v4':'10.0.0.1','v6':'fd00::1'}", { BE16(80), BE32(255), BE64(1), { BE32(0x0a000001) }, IPV6 }) \
VALUE(v_qualified, struct qualified, "{'a':1,'b':2,'c':3,'d':'0x4'}", { 1, 2, 3, (void *)4 }) \
VALUE(v_mixed, struct mixed, "{'ok':true,'verdict':'ALLOW','f':0.1,'d':1e+300,'c':-1}", { 1, ALLOW, 0.1f, 1e300, -1 }) \
VALUE(v_rows, struct rows, "{'row':[{'packets':1,'bytes':2},{'packets':3,'bytes':4}],'cube':[[[1,2],[3,4]],[[5,6],[7,8]]]}", { { { 1, 2 }, { 3, 4 } }, { { { 1, 2 }, { 3, 4 } }, { { 5, 6 }, { 7, 8 } } } }) \
VALUE(v_flow, struct flow, "{'saddr':'10.0.0.1','daddr':'192.168.0.255','sport':1024,'dport':53,'proto':17}", { { BE32(0x0a000001) }, { BE32(0xc0a800ff) }, BE16(1024), BE16(53), 17 }) \
VALUE(v_big, struct big, "{'list':[{'id':1,'in':{'packets':0,'bytes':0},'out':{'packets':0,'bytes':0},'deep':{'x':0,'inner':{'y':0}}},{'id':0,'in':{'packets':0,'bytes':0},'out':{'packets':7,'bytes':0},'deep':{'x':0,'inner':{'y':0}}},{'id':0,'in':{'packets':0,'bytes':0},'out':{'packets':0,'bytes':0},'deep':{'x':0,'inner':{'y':-1}}}],'last':{'kind':4,'v6':[10,0,0,1,0,0,0,0,0,0,0,0,0,0,0,0]}}", { .list = { [0] = { .id = 1 }, [1] = { .out = { .packets = 7 } }, [2] = { .deep = { .inner = { -1 } } } }, .last = { 4, { .v6 = { 10, 0, 0, 1 } } } })

#define KEYS \
KEY(k_s32, __s32, "-1", -1) \
KEY(k_verdict, enum verdict, "ALLOW", ALLOW) \
KEY(k_be16, __be16, "443", BE16(443)) \
KEY(k_in, struct in_addr, "10.1.2.3", { BE32(0x0a010203) }) \
KEY(k_in6, struct in6_addr, "fd00::1", IPV6) \
KEY(k_v6_key, struct v6_key, "fd00::1", { IPV6 }) \
KEY(k_word, word_t, "%2Ea%2Fb", ".a/b") \
KEY(k_flow, struct flow, "saddr=10.0.0.1,daddr=10.0.0.2,sport=1,dport=80,proto=6", { { BE32(0x0a000001) }, { BE32(0x0a000002) }, BE16(1), BE16(80), 6 }) \
KEY(k_nested, struct nested_key, "at.x=1,at.y=-2,mac=02:00:00:00:00:ff,dev=eth0,verdict=LOG", { { 1, -2 }, { 2, 0, 0, 0, 0, 255 }, "eth0", LOG }) \
KEY(k_array, struct array_key, "v.0=1,v.1=2,v.2=3,flag=1,rest=100", { { 1, 2, 3 }, 1, 100 }) \
KEY(k_mac, mac_t, "02:00:00:00:00:ff", { 2, 0, 0, 0, 0, 255 }) \
KEY(k_u128, u128_t, "0x10000000000000000", (u128_t)1 << 64) \
KEY(k_packed, struct packed, "a=1,b=2,c=3,d=4", { 1, 2, 3, 4 })

#define PREFIXES \
KEY(p_lpm4, struct lpm4, "10.0.0.0_8", { 8, { 10 } }) \
KEY(p_lpm6, struct lpm6, "fd00::_64", { 64, { .in6_u.u6_addr8 = { 0xfd } } }) \
KEY(p_dev, struct lpm_dev, "prefixlen=48,ifindex=3,addr=10.1.0.0", { 48, BE32(3), { BE32(0x0a010000) } })
