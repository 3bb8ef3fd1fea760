//! The corpus: a name and the bytes of each attack. What is hidden asks for `/smuggled`.

/// What is hidden in another request.
const HIDDEN: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

/// Everything, against this target, with these fields more.
pub(super) fn all(target: &str, fields: &str) -> Vec<(String, Vec<u8>)> {
    let mut cases = Vec::new();
    for coding in CODINGS {
        cases.extend(two_framings(target, fields, coding));
    }
    for length in LENGTHS {
        cases.push(one_length(target, fields, length));
    }
    for chunks in CHUNKS {
        let head = format!("POST {target} HTTP/1.1\r\nHost: a\r\n{fields}Transfer-Encoding: chunked\r\n\r\n");
        let bytes = [head.as_bytes(), chunks, HIDDEN.as_bytes()].concat();
        cases.push((format!("{target}: chunks {:?}", chunks.escape_ascii().to_string()), bytes));
    }
    // A blank in a target is percent-escaped by the parser: another path, which no route meters.
    for line in LINES.iter().filter(|line| fields.is_empty() || !line.starts_with(b"POST TARGET /")) {
        let line = replaced(line, b"TARGET", target.as_bytes());
        let rest = format!("\r\nHost: a\r\n{fields}Content-Length: 2\r\n\r\n{{}}");
        cases.push((format!("line {:?}", line.escape_ascii().to_string()), [&line, rest.as_bytes()].concat()));
    }
    for field in FIELDS {
        let head = format!("POST {target} HTTP/1.1\r\n{fields}");
        let host = if field.to_ascii_lowercase().starts_with(b"host") || field.is_empty() { "" } else { "Host: a\r\n" };
        let rest = b"\r\nContent-Length: 2\r\n\r\n{}".as_slice();
        let bytes = [head.as_bytes(), host.as_bytes(), field, rest].concat();
        cases.push((format!("{target}: field {:?}", field.escape_ascii().to_string()), bytes));
    }
    for whole in WHOLES {
        let bytes = replaced(&replaced(whole, b"TARGET", target.as_bytes()), b"FIELDS", fields.as_bytes());
        cases.push((format!("{target}: whole {:?}", whole.escape_ascii().to_string()), bytes));
    }
    cases
}

/// A coding beside a length: who believes the one reads another end than who believes the other.
fn two_framings(target: &str, fields: &str, coding: &[u8]) -> [(String, Vec<u8>); 3] {
    let shown = coding.escape_ascii().to_string();
    let head = |length: &str| {
        let start = format!("POST {target} HTTP/1.1\r\nHost: a\r\n{fields}{length}");
        [start.as_bytes(), coding, b"\r\n\r\n"].concat()
    };
    let hidden_behind_chunks = format!("0\r\n\r\n{HIDDEN}");
    let long = format!("Content-Length: {}\r\n", hidden_behind_chunks.len());
    let hidden_in_chunk = format!("{:x}\r\n{HIDDEN}\r\n0\r\n\r\n", HIDDEN.len());
    [
        (format!("{target}: length, {shown}"), [head(&long), hidden_behind_chunks.clone().into_bytes()].concat()),
        (
            format!("{target}: short length, {shown}"),
            [head("Content-Length: 4\r\n"), hidden_in_chunk.into_bytes()].concat(),
        ),
        (format!("{target}: no length, {shown}"), [head(""), hidden_behind_chunks.into_bytes()].concat()),
    ]
}

/// A length that can be read in two ways; `N` stands for the true one.
fn one_length(target: &str, fields: &str, length: &[u8]) -> (String, Vec<u8>) {
    let count = HIDDEN.len().to_string();
    let start = format!("POST {target} HTTP/1.1\r\nHost: a\r\n{fields}");
    let line = replaced(length, b"N", count.as_bytes());
    let bytes = [start.as_bytes(), &line, b"\r\n\r\n", HIDDEN.as_bytes()].concat();
    (format!("{target}: {:?}", length.escape_ascii().to_string()), bytes)
}

fn replaced(text: &[u8], what: &[u8], by: &[u8]) -> Vec<u8> {
    let mut left = text;
    let mut all = Vec::new();
    while let Some(at) = left.windows(what.len()).position(|window| window == what) {
        all.extend([&left[..at], by].concat());
        left = &left[at + what.len()..];
    }
    [&all, left].concat()
}

const CODINGS: &[&[u8]] = &[
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding:chunked",
    b"Transfer-Encoding:\tchunked",
    b"Transfer-Encoding: chunked ",
    b"Transfer-Encoding: chunked\t",
    b"transfer-encoding: CHUNKED",
    b"tRANSFER-eNCODING: ChUnKeD",
    b"Transfer-Encoding : chunked",
    b"Transfer-Encoding\t: chunked",
    b" Transfer-Encoding: chunked",
    b"\tTransfer-Encoding: chunked",
    b"Transfer-Encoding\x00: chunked",
    b"Transfer-Encoding\x0b: chunked",
    b"Transfer Encoding: chunked",
    b"Transfer_Encoding: chunked",
    b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: identity, chunked",
    b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: chunked, gzip",
    b"Transfer-Encoding: chunked;q=1",
    b"Transfer-Encoding: chunked;a=b",
    b"Transfer-Encoding: \"chunked\"",
    b"Transfer-Encoding: 'chunked'",
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding: chunkedx",
    b"Transfer-Encoding: chunk",
    b"Transfer-Encoding: cow",
    b"Transfer-Encoding: cow, chunked",
    b"Transfer-Encoding: ,chunked",
    b"Transfer-Encoding: chunked,",
    b"Transfer-Encoding: , ,",
    b"Transfer-Encoding:",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: cow",
    b"Transfer-Encoding: cow\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: \x0bchunked",
    b"Transfer-Encoding: \x0cchunked",
    b"Transfer-Encoding: chunked\x0b",
    b"Transfer-Encoding: \x00chunked",
    b"Transfer-Encoding: chunked\x00",
    b"Transfer-Encoding: \x01chunked",
    b"Transfer-Encoding: \xa0chunked",
    b"Transfer-Encoding: chunked\xff",
    b"Transfer-Encoding:\r\n chunked",
    b"Transfer-Encoding:\r\n\tchunked",
    b"Transfer-Encoding:\n chunked",
    b"Transfer-Encoding: chun\r\n ked",
    b"X: y\nTransfer-Encoding: chunked",
    b"X: y\rTransfer-Encoding: chunked",
    b"X: y\x00Transfer-Encoding: chunked",
    b"Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked",
    b"Connection: Content-Length\r\nTransfer-Encoding: chunked",
    b"Connection: keep-alive, Content-Length",
    b"TE: chunked",
    b"X-Transfer-Encoding: chunked",
    b"Content-Encoding: chunked",
    b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA",
    b"Upgrade: websocket\r\nConnection: Upgrade",
    b"Expect: 100-continue\r\nTransfer-Encoding: chunked",
    b"Expect: 100-continue, 100-continue",
    b"Expect: 200-ok",
];

const LENGTHS: &[&[u8]] = &[
    b"Content-Length: +N",
    b"Content-Length: -N",
    b"Content-Length: -0",
    b"Content-Length:  N  ",
    b"Content-Length:\tN",
    b"Content-Length: N,N",
    b"Content-Length: N, N",
    b"Content-Length: N, 0",
    b"Content-Length: 0, N",
    b"Content-Length: N,",
    b"Content-Length: ,N",
    b"Content-Length: 0N",
    b"Content-Length: 0xN",
    b"Content-Length: N.0",
    b"Content-Length: Ne0",
    b"Content-Length: N;a=b",
    b"Content-Length: \"N\"",
    b"Content-Length: N N",
    b"Content-Length: N\x0b",
    b"Content-Length: N\x00",
    b"Content-Length: \xa0N",
    b"Content-Length:",
    b"Content-Length: a",
    b"Content-Length: \xd9\xa3",
    b"Content-Length: 18446744073709551616",
    b"Content-Length: 99999999999999999999999999",
    b"Content-Length: 1_0",
    b"Content-Length: N\r\nContent-Length: N",
    b"Content-Length: N\r\nContent-Length: 0",
    b"Content-Length: 0\r\nContent-Length: N",
    b"Content-Length: 0\r\nContent-length: N",
    b"Content-Length:\r\n N",
    b"Content-Length: 0\r\n N",
    b"Content-Length : N",
    b"Content-Length\t: N",
    b"Content-Length\x00: N",
    b" Content-Length: N",
    b"Content_Length: N",
    b"Content Length: N",
    b"X: y\nContent-Length: N",
    b"X: y\rContent-Length: N",
    b"Content-Length: 0",
    b"X-Content-Length: N",
];

const CHUNKS: &[&[u8]] = &[
    b"0\r\n\r\n",
    b"2\r\n{}\r\n0\r\n\r\n",
    b"02\r\n{}\r\n00\r\n\r\n",
    b"0000000000000000000002\r\n{}\r\n0\r\n\r\n",
    b"2;a=b\r\n{}\r\n0\r\n\r\n",
    b"2;a=\"b\r\n\"\r\n{}\r\n0\r\n\r\n",
    b"2;\n{}\r\n0\r\n\r\n",
    b"2;a\nb\r\n{}\r\n0\r\n\r\n",
    b"2 ;a=b\r\n{}\r\n0\r\n\r\n",
    b"2\t\r\n{}\r\n0\r\n\r\n",
    b" 2\r\n{}\r\n0\r\n\r\n",
    b"+2\r\n{}\r\n0\r\n\r\n",
    b"-2\r\n{}\r\n0\r\n\r\n",
    b"0x2\r\n{}\r\n0\r\n\r\n",
    b"2h\r\n{}\r\n0\r\n\r\n",
    b"g\r\n{}\r\n0\r\n\r\n",
    b"2.0\r\n{}\r\n0\r\n\r\n",
    b"2_\r\n{}\r\n0\r\n\r\n",
    b"\r\n2\r\n{}\r\n0\r\n\r\n",
    b"2\n{}\n0\n\n",
    b"2\r{}\r0\r\r",
    b"2\r\n{}0\r\n\r\n",
    b"2\r\n{}\n0\r\n\r\n",
    b"2\r\n{}\r0\r\n\r\n",
    b"2\r\n{}xx0\r\n\r\n",
    b"1\r\n{}\r\n0\r\n\r\n",
    b"3\r\n{}\r\n0\r\n\r\n",
    b"2\r\n{}\r\n0\r\n",
    b"2\r\n{}\r\n0\n\n",
    b"2\r\n{}\r\n0\r\n\n",
    b"2\r\n{}\r\n0\r\nX: y\r\n\r\n",
    b"2\r\n{}\r\n0\r\nContent-Length: 50\r\nHost: evil\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"2\r\n{}\r\n0\r\nX-Gateway-User: root\r\nAuthorization: Bearer x\r\n\r\n",
    b"2\r\n{}\r\n0\r\nX: y\n\n",
    b"2\r\n{}\r\n0\r\nno colon\r\n\r\n",
    b"2\r\n{}\r\n0\r\n X: y\r\n\r\n",
    b"2\r\n{}\r\n-0\r\n\r\n",
    b"2\r\n{}\r\n0;\r\n\r\n",
    b"2\r\n{}\r\n0\x00\r\n\r\n",
    b"ffffffffffffffff\r\n{}\r\n0\r\n\r\n",
    b"fffffffffffffffe\r\n{}\r\n0\r\n\r\n",
    b"10000000000000000\r\n{}\r\n0\r\n\r\n",
    b"100000000000000002\r\n{}\r\n0\r\n\r\n",
    b"7fffffffffffffff\r\n{}\r\n0\r\n\r\n",
    b"80000000\r\n{}\r\n0\r\n\r\n",
    b"\xd9\xa2\r\n{}\r\n0\r\n\r\n",
    b"",
];

const LINES: &[&[u8]] = &[
    b"POST TARGET",
    b"POST TARGET ",
    b"POST TARGET HTTP",
    b"POST TARGET HTTP/",
    b"POST TARGET HTTP/1",
    b"POST TARGET HTTP/1.",
    b"POST TARGET HTTP/0.9",
    b"POST TARGET HTTP/1.2",
    b"POST TARGET HTTP/1.10",
    b"POST TARGET HTTP/01.1",
    b"POST TARGET HTTP/1.1x",
    b"POST TARGET HTTP/2.0",
    b"POST TARGET HTTP/2",
    b"POST TARGET HTTP/3.0",
    b"POST TARGET http/1.1",
    b"POST TARGET HTTQ/1.1",
    b"POST TARGET HTTP/1.1 ",
    b"POST TARGET HTTP/1.1 HTTP/1.1",
    b"POST TARGET  HTTP/1.1",
    b"POST  TARGET HTTP/1.1",
    b"POST\tTARGET\tHTTP/1.1",
    b"POST\x0bTARGET HTTP/1.1",
    b" POST TARGET HTTP/1.1",
    b"\tPOST TARGET HTTP/1.1",
    b"\r\nPOST TARGET HTTP/1.1",
    b"\nPOST TARGET HTTP/1.1",
    b"\rPOST TARGET HTTP/1.1",
    b"\x00POST TARGET HTTP/1.1",
    b"TARGET HTTP/1.1",
    b"POST HTTP/1.1",
    b"POST",
    b"",
    b"P\x00ST TARGET HTTP/1.1",
    b"P(ST TARGET HTTP/1.1",
    b"P\xd6ST TARGET HTTP/1.1",
    b"POST TARGET\x00 HTTP/1.1",
    b"POST TARGET\x7f HTTP/1.1",
    b"POST TARGET\r HTTP/1.1",
    b"POST TARGET\n HTTP/1.1",
    b"POST TARGET\xff HTTP/1.1",
    b"POST TARGET /smuggled HTTP/1.1",
    b"POST TARGET HTTP/1.1\nGET /smuggled HTTP/1.1",
    b"POST TARGET HTTP/1.1\rGET /smuggled HTTP/1.1",
    b"POST TARGET%0d%0aHost:%20b HTTP/1.1",
    b"POST TARGET#/smuggled HTTP/1.1",
    b"POST http://bTARGET HTTP/1.1",
    b"POST http://aTARGET HTTP/1.1",
    b"POST http://user@aTARGET HTTP/1.1",
    b"POST http://a:80@bTARGET HTTP/1.1",
    b"POST http://TARGET HTTP/1.1",
    b"POST http:/TARGET HTTP/1.1",
    b"POST //bTARGET HTTP/1.1",
    b"POST ftp://aTARGET HTTP/1.1",
    b"POST file://TARGET HTTP/1.1",
    b"POST javascript:TARGET HTTP/1.1",
    b"POST aTARGET HTTP/1.1",
    b"POST ?TARGET HTTP/1.1",
    b"POST *TARGET HTTP/1.1",
    b"POST * HTTP/1.1",
    b"OPTIONS * HTTP/1.1",
    b"CONNECT a:443 HTTP/1.1",
    b"CONNECT TARGET HTTP/1.1",
    b"TRACE TARGET HTTP/1.1",
    b"PRI * HTTP/2.0",
    b"GET TARGET HTTP/1.1",
    b"HEAD TARGET HTTP/1.1",
];

const FIELDS: &[&[u8]] = &[
    b"",
    b"Host:",
    b"Host: ",
    b"Host: a b",
    b"Host: a,b",
    b"Host: a/b",
    b"Host: a?b",
    b"Host: a#b",
    b"Host: user@a",
    b"Host: a:b",
    b"Host: a:99999",
    b"Host: a\x00b",
    b"Host: a\x0bb",
    b"Host: [::1",
    b"Host: \xff",
    b"Host: a\r\nHost: b",
    b"Host: a\r\nHost: a",
    b"Host: a\r\nhost: b",
    b"Host : a",
    b"Host: a\r\n Host: b",
    b"Host: a\nHost: b",
    b"Host: a\r\nX-Forwarded-Host: b",
    b"no colon",
    b": empty name",
    b"X Y: blank in a name",
    b"X\x00: y",
    b"X\xff: y",
    b"X(: y",
    b"X: a\x00b",
    b"X: a\x01b",
    b"X: a\x08b",
    b"X: a\x7fb",
    b"X: a\rb",
    b"X: a\nb: c",
    b"X: a\r\n b",
    b"X: a\r\n\tb",
    b"X: a\r\n\r",
    b"X: \xc3\xa9",
    b"X: \xff\xfe",
    b"X:",
    b"Connection: close, Host",
    b"Connection: Authorization",
    b"Connection: X-Gateway-User",
    b"Connection: \x00",
    b"Connection: (",
    b"Connection: Content-Type, Content-Length, Host, Cookie",
    b"Connection: Upgrade\r\nUpgrade: TLS/1.0",
    b"Connection: Upgrade\r\nUpgrade: h2c",
    b"Proxy-Connection: keep-alive\r\nKeep-Alive: timeout=9999",
    b"Trailer: Content-Length",
    b"Max-Forwards: 0",
    b"Via: 1.1 a\r\nVia: 1.1 b",
    b"X-HTTP-Method-Override: DELETE",
    b"X-Original-URL: /smuggled",
    b"X-Rewrite-URL: /smuggled-elsewhere",
    b"Range: bytes=0-,0-,0-",
    b"Content-Type: application/json\r\nContent-Type: text/plain",
    b"X-Request-Id: a\tb",
    b"traceparent: \x80",
];

const WHOLES: &[&[u8]] = &[
    b"\r\n\r\n\r\n",
    b"\x00\x00\x00\x00",
    b"GET TARGET\r\n\r\n",
    b"GET TARGET\n\n",
    b"GET TARGET HTTP/1.1\n\n",
    b"GET TARGET HTTP/1.1\nHost: a\nFIELDS\n\n",
    b"GET TARGET HTTP/1.1\r\rHost: a\r\r",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET TARGET HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c",
    b"POST TARGET HTTP/1.0\r\nHost: a\r\nFIELDSTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST TARGET HTTP/1.0\r\nFIELDSContent-Length: 2\r\nConnection: keep-alive\r\n\r\n{}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST TARGET HTTP/1.1\r\nHost: a\r\nFIELDSContent-Length: 2\r\n\r\n{}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST TARGET HTTP/1.1\r\nHost: a\r\nFIELDS\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET TARGET HTTP/1.1\r\nHost: a\r\nFIELDSContent-Length: 37\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET TARGET HTTP/1.1\r\nHost: a\r\nFIELDSTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HEAD TARGET HTTP/1.1\r\nHost: a\r\nFIELDSContent-Length: 37\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST TARGET HTTP/1.1\r\nHost: a\r\nFIELDSExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nFIELDSExpect: 100-continue\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
];
