//! Whatever a record holds, its JSON parses back to the same values, in every family of hosts.

use std::mem::MaybeUninit;

use bro_zeromq_writer::dispatch;
use bro_zeromq_writer::host::{Address, AnyShape, FAMILIES, Field, Layout, Record, family_of_version};
use bro_zeromq_writer::json::{
    EncodeError, Envelope, EscapePolicy, FieldPlan, MAX_DEPTH, Out, Style, TimeFormat, encode,
};
use fake_host::{Cell, Columns, Synth, Type};
use proptest::prelude::*;
use serde_json::{Map, Number, Value};

/// Encoding may fail with `Full` although the record fits, if it would leave less room than this.
const SPARE: usize = 16_000;

fn zeek_80() -> &'static Layout {
    &family_of_version(8, 0).unwrap().layout
}

/// Encodes a record in `layout` and returns the JSON and the number of unknown values.
fn encode_in(
    layout: &Layout,
    style: Style,
    names: &[String],
    cells: &[Cell],
    room: usize,
) -> Result<(String, u64), EncodeError> {
    encode_within(None, layout, style, names, cells, room)
}

/// Encodes a record in `layout`, in an envelope if there is one; returns what [`encode_in`] does.
fn encode_within(
    envelope: Option<&Envelope>,
    layout: &Layout,
    style: Style,
    names: &[String],
    cells: &[Cell],
    room: usize,
) -> Result<(String, u64), EncodeError> {
    let columns = Columns::new(layout, names.iter().map(|name| (name.as_str(), Type::String)));
    // SAFETY: `columns` was made for this layout and lives on.
    let fields = unsafe { Field::read_all(columns.as_ptr().cast(), columns.len(), layout) }.unwrap();
    let mut plan = FieldPlan::new(&fields, layout, style);
    let mut synth = Synth::new(layout);
    let values = synth.record(cells).as_ptr().cast();
    // SAFETY: `values` was made for this layout, one for each column, and lives on.
    let encoded = unsafe { encode_values(envelope, layout, &plan, values, room) };
    // The code for every processor must give the same text as the code for this processor.
    if plan.use_baseline() {
        // SAFETY: `values` was made for this layout, one for each column, and lives on.
        let baseline = unsafe { encode_values(envelope, layout, &plan, values, room) };
        match (&baseline, &encoded) {
            // How much room a text may need is estimated from how it is read, which depends on its address.
            (Ok((json, _)), Err(EncodeError::Full)) | (Err(EncodeError::Full), Ok((json, _))) => {
                assert!(room < json.len() + SPARE, "{room} for {}", json.len());
            }
            _ => assert_eq!(baseline, encoded),
        }
    }
    encoded
}

/// # Safety
///
/// `values` are laid out as `layout` says, one for each of the plan's columns.
unsafe fn encode_values(
    envelope: Option<&Envelope>,
    layout: &Layout,
    plan: &FieldPlan,
    values: *const *const u8,
    room: usize,
) -> Result<(String, u64), EncodeError> {
    let mut memory = vec![MaybeUninit::uninit(); room];
    let mut out = match envelope {
        None => Out::new(&mut memory),
        Some(envelope) => envelope.begin(&mut memory)?,
    };
    // SAFETY: the caller promises a value for each of the plan's columns, laid out as `layout` says.
    let unknown = unsafe {
        dispatch!(AnyShape::new(layout).unwrap(), shape => encode(plan, Record::new(values, shape), &mut out))
    }?;
    let len = match envelope {
        None => out.len(),
        Some(envelope) => envelope.end(&mut out)?,
    };
    // SAFETY: `out` began at the start of the memory and has written `len` bytes.
    let json = memory[..len].iter().map(|byte| unsafe { byte.assume_init() }).collect();
    Ok((String::from_utf8(json).expect("JSON is UTF-8"), unknown))
}

fn json_of(cells: &[Cell]) -> String {
    let names: Vec<_> = (0..cells.len()).map(|index| format!("c{index}")).collect();
    encode_in(zeek_80(), Style::default(), &names, cells, 1 << 20).unwrap().0
}

/// What text becomes in JSON: the rule of `json::text`, written independently.
fn text_value(bytes: &[u8]) -> String {
    let control = |c: char| matches!(c, '\u{8}' | '\t' | '\n' | '\u{c}' | '\r');
    let acceptable = |c: char| {
        !matches!(c, '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..='\u{ffff}')
            || control(c)
    };
    match std::str::from_utf8(bytes) {
        Ok(text) if text.chars().all(acceptable) => text.to_owned(),
        _ => bytes
            .iter()
            .map(|&byte| match byte {
                b' '..=b'~' => char::from(byte).to_string(),
                _ if control(char::from(byte)) => char::from(byte).to_string(),
                _ => format!("\\x{byte:02x}"),
            })
            .collect(),
    }
}

fn address_text(address: Address) -> String {
    match address {
        Address::V4(octets) => std::net::Ipv4Addr::from(octets).to_string(),
        Address::V6(octets) => std::net::Ipv6Addr::from(octets).to_string(),
    }
}

/// The value that a cell must read back as; `None` for a cell that is left out.
fn expected(cell: &Cell) -> Option<Value> {
    let double = |number: f64| Number::from_f64(number).map_or(Value::Null, Value::Number);
    Some(match cell {
        Cell::Unset(_) => return None,
        Cell::Bool(yes) => Value::Bool(*yes),
        Cell::Int(number) => Value::from(*number),
        Cell::Count(number) | Cell::Port(number, _) => Value::from(*number),
        Cell::Double(number) | Cell::Interval(number) | Cell::Time(number) => double(*number),
        Cell::Addr(address) => Value::String(address_text(*address)),
        Cell::Subnet(address @ Address::V4(_), length) => {
            Value::String(format!("{}/{}", address_text(*address), length - 96))
        }
        Cell::Subnet(address, length) => Value::String(format!("{}/{length}", address_text(*address))),
        Cell::Text(_, bytes) => Value::String(text_value(bytes)),
        Cell::List(_, cells) => cells.iter().map(|cell| expected(cell).unwrap_or(Value::Null)).collect(),
        Cell::Raw(..) => Value::Null,
    })
}

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<String>().prop_map(String::into_bytes),
        "[ -~]{0,80}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..80),
        proptest::collection::vec(
            prop_oneof![Just(b'"'), Just(b'\\'), Just(b'a'), Just(0xc3), Just(0xbc), Just(b'\n')],
            0..40
        ),
    ]
}

/// Addresses whose text the standard library and the host agree on.
fn any_address() -> impl Strategy<Value = Address> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(Address::V4),
        any::<[u8; 16]>().prop_filter_map("IPv4 inside IPv6 is written in more cases by the host", |octets| {
            (octets[..8] != [0; 8]).then_some(Address::V6(octets))
        }),
    ]
}

fn any_cell() -> impl Strategy<Value = Cell> {
    let text = prop_oneof![Just(Type::String), Just(Type::Enum), Just(Type::File), Just(Type::Func)];
    let leaf = prop_oneof![
        Just(Cell::Unset(Type::Count)),
        any::<bool>().prop_map(Cell::Bool),
        any::<i64>().prop_map(Cell::Int),
        any::<u64>().prop_map(Cell::Count),
        (any::<u16>(), 0..4_u8).prop_map(|(port, protocol)| Cell::Port(port.into(), protocol)),
        any::<f64>().prop_map(Cell::Double),
        (0..4_000_000_000_000_000_u64).prop_map(|micros| Cell::Time(micros as f64 / 1e6)),
        any::<f32>().prop_map(|number| Cell::Interval(number.into())),
        any_address().prop_map(Cell::Addr),
        (any_address(), 96..=128_u8).prop_map(|(address, length)| Cell::Subnet(address, length)),
        (text, any_bytes()).prop_map(|(kind, bytes)| Cell::Text(kind, bytes)),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        (prop_oneof![Just(Type::Set), Just(Type::Vector)], proptest::collection::vec(inner, 0..6))
            .prop_map(|(kind, cells)| Cell::List(kind, cells))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_goes_in_comes_out(columns in proptest::collection::vec(("[^\0]{0,40}", any_cell()), 0..20), include_unset: bool) {
        let names: Vec<_> = columns.iter().enumerate().map(|(index, (name, _))| format!("{index}{name}")).collect();
        let cells: Vec<_> = columns.into_iter().map(|(_, cell)| cell).collect();
        let style = Style { include_unset, ..Style::default() };
        let mut wanted = Map::new();
        for (name, cell) in names.iter().zip(&cells) {
            match expected(cell) {
                None if !include_unset => {}
                value => drop(wanted.insert(name.clone(), value.unwrap_or(Value::Null))),
            }
        }
        let mut texts = Vec::new();
        for family in &FAMILIES {
            let (json, unknown) = encode_in(&family.layout, style, &names, &cells, 1 << 20).unwrap();
            prop_assert_eq!(unknown, 0);
            let parsed: Value = serde_json::from_str(&json).unwrap();
            // The texts are compared because they have the keys in order; serde_json keeps it.
            prop_assert_eq!(parsed.to_string(), Value::Object(wanted.clone()).to_string());
            texts.push(json);
        }
        prop_assert!(texts.windows(2).all(|pair| pair[0] == pair[1]), "families differ: {:?}", texts);
    }

    #[test]
    fn too_little_room_is_said_and_nothing_else_happens(cells in proptest::collection::vec(any_cell(), 0..8), part in 0.0..1.0_f64) {
        let names: Vec<_> = (0..cells.len()).map(|index| format!("column{index}")).collect();
        let layout = &family_of_version(9, 0).unwrap().layout;
        let (json, _) = encode_in(layout, Style::default(), &names, &cells, 1 << 20).unwrap();
        let room = (json.len() as f64 * part) as usize;
        prop_assert_eq!(encode_in(layout, Style::default(), &names, &cells, room), Err(EncodeError::Full));
    }
}

#[test]
fn nothing_set() {
    assert_eq!(json_of(&[]), "{}");
    assert_eq!(json_of(&[Cell::Unset(Type::Time), Cell::Unset(Type::Set)]), "{}");
    assert_eq!(json_of(&[Cell::Unset(Type::Time), Cell::Bool(true)]), r#"{"c1":true}"#);
}

/// Encodes a record as `tag_json` (`tag`) and `extra_fields` (`members`) have it, and checks that any
/// smaller room is refused.
fn wrapped(tag: Option<&str>, members: &[(&str, &str)], escape: EscapePolicy, cells: &[Cell]) -> String {
    let names: Vec<_> = (0..cells.len()).map(|index| format!("c{index}")).collect();
    let style = Style { escape, ..Style::default() };
    let members = members.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let envelope = Envelope::new(tag.map(str::as_bytes), members, escape);
    let encode = |room| encode_within(envelope.as_ref(), zeek_80(), style, &names, cells, room);
    let (json, _) = encode(1 << 16).unwrap();
    for room in 0..json.len() {
        assert_eq!(encode(room), Err(EncodeError::Full));
    }
    json
}

#[test]
fn a_record_in_an_object_of_its_own_and_with_members_of_ours() {
    let set = [Cell::Unset(Type::Time), Cell::Bool(true)];
    let unset = [Cell::Unset(Type::Time)];
    let site = [("sensor", "s\"1"), ("site", "Zürich\n")];
    for (tag, members, cells, json) in [
        (None, &[][..], &set[..], r#"{"c1":true}"#),
        (None, &site, &set, r#"{"c1":true,"sensor":"s\"1","site":"Zürich\n"}"#),
        (None, &site, &unset, r#"{"sensor":"s\"1","site":"Zürich\n"}"#),
        (Some("conn"), &[], &set, r#"{"conn":{"c1":true}}"#),
        (Some("conn"), &[], &unset, r#"{"conn":{}}"#),
        (Some("a\\\"b"), &site, &set, r#"{"a\\\"b":{"c1":true,"sensor":"s\"1","site":"Zürich\n"}}"#),
        (Some("conn"), &site, &unset, r#"{"conn":{"sensor":"s\"1","site":"Zürich\n"}}"#),
    ] {
        assert_eq!(wrapped(tag, members, EscapePolicy::Hex, cells), json);
    }
    assert_eq!(
        wrapped(Some("é\n"), &[("a\\", "b\\")], EscapePolicy::Tsv, &[]),
        r#"{"\\xc3\\xa9\\x0a":{"a\\\\":"b\\\\"}}"#
    );
}

#[test]
fn the_escape_policy_is_for_strings_only() {
    let text = |kind| Cell::Text(kind, "a\\ü\x01".as_bytes().to_vec());
    let cells = [text(Type::String), text(Type::Enum), Cell::List(Type::Vector, vec![text(Type::String)])];
    let hex = r"a\\\\xc3\\xbc\\x01";
    for (policy, string) in [
        (EscapePolicy::Hex, r"a\\\\xc3\\xbc\\x01"),
        (EscapePolicy::Pua, r"a\\ü\udb80\udc01"),
        (EscapePolicy::Tsv, r"a\\\\\\xc3\\xbc\\x01"),
    ] {
        let json = wrapped(None, &[], policy, &cells);
        assert_eq!(json, format!(r#"{{"c0":"{string}","c1":"{hex}","c2":["{string}"]}}"#));
    }
}

#[test]
fn empty_is_not_unset() {
    assert_eq!(
        json_of(&[
            Cell::Text(Type::String, Vec::new()),
            Cell::List(Type::Set, Vec::new()),
            Cell::List(Type::Vector, vec![Cell::Unset(Type::Int)])
        ]),
        r#"{"c0":"","c1":[],"c2":[null]}"#
    );
}

/// Consecutive elements of one type are encoded in a faster loop. Neither elements of other types between
/// them nor the place where the room ends may make a difference.
#[test]
fn long_lists() {
    let text = |len: usize| Cell::Text(Type::String, vec![b'x'; len]);
    let texts: Vec<_> = (0..300).map(|index| text(index % 70)).collect();
    let mut mixed = texts.clone();
    for (index, cell) in [
        Cell::Unset(Type::String),
        Cell::Text(Type::String, "ü".into()),
        Cell::Text(Type::Enum, b"E".into()),
        Cell::Text(Type::String, b"\xff\"".into()),
        text(5000),
        Cell::Count(1),
    ]
    .into_iter()
    .enumerate()
    {
        mixed[20 * (index + 1)] = cell.clone();
        mixed.extend([cell.clone(), cell]);
    }
    let interval = |number: &f64| Cell::Interval(*number);
    let numbers = [300.0, 300.0, 0.0, 0.0, -0.0, -0.0, 0.1, f64::NAN, f64::NAN, f64::NAN, 1.5, -1.7976931348623157e308];
    let mut intervals: Vec<_> = numbers.iter().flat_map(|number| vec![interval(number); 40]).collect();
    intervals.push(Cell::Time(-1.7976931348623157e308));
    intervals.extend(vec![Cell::Unset(Type::Interval); 3]);
    for cells in [texts, mixed, intervals] {
        let wanted: Vec<_> = cells.iter().map(|cell| expected(cell).unwrap_or(Value::Null)).collect();
        let list = [Cell::List(Type::Vector, cells)];
        let (json, _) = encode_in(zeek_80(), Style::default(), &["c0".to_owned()], &list, 1 << 20).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["c0"], Value::from(wanted));
        for room in (0..json.len()).chain(json.len()..json.len() + SPARE).step_by(97) {
            let encoded = encode_in(zeek_80(), Style::default(), &["c0".to_owned()], &list, room);
            let same = encoded.as_ref().is_ok_and(|(again, _)| *again == json);
            assert!(encoded == Err(EncodeError::Full) || room >= json.len() && same, "{room}: {encoded:?}");
        }
    }
}

#[test]
fn the_longest_numbers() {
    assert_eq!(
        json_of(&[
            Cell::Int(i64::MIN),
            Cell::Count(u64::MAX),
            Cell::Double(-1.7976931348623157e308),
            Cell::Double(-123456789012345680000.0),
            Cell::Interval(f64::NAN),
            Cell::Time(f64::NEG_INFINITY),
        ]),
        r#"{"c0":-9223372036854775808,"c1":18446744073709551615,"c2":-1.7976931348623157e308,"c3":-123456789012345680000.0,"c4":null,"c5":null}"#
    );
}

#[test]
fn a_string_of_megabytes() {
    for (byte, factor) in [(b'x', 1), (b'"', 2), (0xff, 5)] {
        let len = 3 << 20;
        let cells = [Cell::Text(Type::String, vec![byte; len])];
        let (json, _) = encode_in(zeek_80(), Style::default(), &["s".into()], &cells, 6 * len).unwrap();
        assert_eq!(json.len(), r#"{"s":""}"#.len() + factor * len);
        let parsed: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(parsed["s"].as_str().unwrap(), text_value(&vec![byte; len]));
    }
}

#[test]
fn five_hundred_columns_with_long_names() {
    let names: Vec<_> = (0..500).map(|index| format!("{}{index}", "n".repeat(index))).collect();
    let cells: Vec<_> = (0..500).map(Cell::Count).collect();
    let (json, _) =
        encode_in(&family_of_version(2, 6).unwrap().layout, Style::default(), &names, &cells, 1 << 20).unwrap();
    let parsed: Map<String, Value> = serde_json::from_str(&json).unwrap();
    assert_eq!(parsed.len(), 500);
    for (index, (name, value)) in parsed.iter().enumerate() {
        assert_eq!((name.as_str(), value.as_u64()), (names[index].as_str(), Some(index as u64)));
    }
}

#[test]
fn nesting_ends_at_the_limit() {
    let nested = |depth: usize| (0..depth).fold(Cell::Int(1), |inner, _| Cell::List(Type::Vector, vec![inner]));
    let names = ["v".to_owned()];
    let (json, _) = encode_in(zeek_80(), Style::default(), &names, &[nested(MAX_DEPTH)], 1 << 12).unwrap();
    assert_eq!(json, format!("{{\"v\":{}1{}}}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH)));
    let deeper = encode_in(zeek_80(), Style::default(), &names, &[nested(MAX_DEPTH + 1)], 1 << 12);
    assert_eq!(deeper, Err(EncodeError::TooDeep));
}

#[test]
fn an_unknown_type_costs_its_field() {
    for family in &FAMILIES {
        let cells = [
            Cell::Bool(true),
            Cell::Raw(200, [0xaa; 24]),
            Cell::Unset(Type::Pattern),
            Cell::Raw(family.layout.tag_pattern, [0xaa; 24]),
            Cell::Int(1),
        ];
        let names: Vec<_> = (0..5).map(|index| format!("c{index}")).collect();
        let encoded = encode_in(&family.layout, Style::default(), &names, &cells, 1 << 12);
        assert_eq!(encoded, Ok((r#"{"c0":true,"c1":null,"c3":null,"c4":1}"#.to_owned(), 2)));
    }
}

#[test]
fn damaged_memory_costs_the_record() {
    let layout = zeek_80();
    let raw = |tag: u32, first: u64, second: u64| {
        let mut val = [0; 24];
        val[..8].copy_from_slice(&first.to_ne_bytes());
        val[8..16].copy_from_slice(&second.to_ne_bytes());
        Cell::Raw(tag, val)
    };
    for cell in [
        raw(layout.tag_string, 0, 5),
        raw(layout.tag_string, 8, u64::from(u32::MAX)),
        raw(layout.tag_table, 1, 0),
        raw(layout.tag_vector, u64::MAX, 8),
    ] {
        let encoded = encode_in(layout, Style::default(), &["c".into()], std::slice::from_ref(&cell), 1 << 12);
        assert!(matches!(encoded, Err(EncodeError::Malformed(_))), "{cell:?}: {encoded:?}");
    }
}

#[test]
fn times_in_every_format() {
    for (time, expected) in [
        (TimeFormat::Epoch, "1699999999.123456"),
        (TimeFormat::Millis, "1699999999123"),
        (TimeFormat::MillisUnsigned, "1699999999123"),
        (TimeFormat::Iso8601, "\"2023-11-14T22:13:19.123456Z\""),
    ] {
        let style = Style { time, include_unset: true, ..Style::default() };
        let cells = [Cell::Time(1_699_999_999.123456), Cell::Unset(Type::Time)];
        let (json, _) = encode_in(zeek_80(), style, &["ts".into(), "end".into()], &cells, 1 << 12).unwrap();
        assert_eq!(json, format!("{{\"ts\":{expected},\"end\":null}}"));
    }
}

#[test]
fn a_host_that_is_not_known_goes_by_its_table() {
    let layout = Layout {
        value_type: 8,
        value_subtype: 12,
        value_present: 16,
        value_val: 24,
        value_size: 56,
        ..family_of_version(2, 6).unwrap().layout
    };
    let cells = [
        Cell::Bool(true),
        Cell::Unset(Type::Int),
        Cell::List(Type::Set, vec![Cell::Addr(Address::V4([192, 0, 2, 1]))]),
    ];
    let names: Vec<_> = (0..3).map(|index| format!("c{index}")).collect();
    let encoded = encode_in(&layout, Style::default(), &names, &cells, 1 << 12);
    assert_eq!(encoded, Ok((r#"{"c0":true,"c2":["192.0.2.1"]}"#.to_owned(), 0)));
}
