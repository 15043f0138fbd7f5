use std::fs;
use std::io::Write as _;

use tar::{Builder, Header};

use super::*;

/// A tar with members as `add` makes them, closed as it should be.
fn archive(add: impl FnOnce(&mut Builder<&mut Vec<u8>>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut builder = Builder::new(&mut bytes);
    add(&mut builder);
    builder.finish().unwrap();
    drop(builder);
    bytes
}

fn header(kind: EntryType, bytes: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(bytes);
    header.set_mode(0o644);
    header.set_cksum();
    header
}

fn file(builder: &mut Builder<&mut Vec<u8>>, name: &str, content: &[u8]) {
    let mut header = header(EntryType::Regular, content.len() as u64);
    builder.append_data(&mut header, name, content).unwrap();
}

/// A member whose name no honest writer takes.
fn hostile(builder: &mut Builder<&mut Vec<u8>>, kind: EntryType, name: &[u8], content: &[u8]) {
    let mut header = header(kind, content.len() as u64);
    header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name);
    header.set_cksum();
    builder.append(&header, content).unwrap();
}

fn members(bytes: &[u8]) -> Result<Vec<Member>, ArchiveError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let archive = Archive::open(file.path())?;
    let mut members = Vec::new();
    archive.members_within(archive.range(), &mut |member, _| {
        members.push(member);
        Ok(())
    })?;
    Ok(members)
}

fn message(bytes: &[u8]) -> String {
    members(bytes).unwrap_err().to_string()
}

#[test]
fn members_are_found_with_their_places_and_long_names() {
    let long = format!("{}/x.jpg", "n".repeat(180));
    let bytes = archive(|builder| {
        file(builder, "./a/one.jpg", b"first");
        let mut folder = header(EntryType::Directory, 0);
        builder.append_data(&mut folder, "a/deep/", &[][..]).unwrap();
        file(builder, &long, &[7; 1000]);
        builder.append_pax_extensions([("path", "named/by/pax.jpg".as_bytes())]).unwrap();
        file(builder, "short", b"third");
    });
    let found = members(&bytes).unwrap();
    let names: Vec<&str> = found.iter().map(|member| member.name.as_str()).collect();
    assert_eq!(names, ["a/one.jpg", &long, "named/by/pax.jpg"]);
    for (member, content) in found.iter().zip([&b"first"[..], &[7; 1000], b"third"]) {
        assert_eq!(member.kind, MemberKind::File);
        assert_eq!(&bytes[member.offset as usize..][..member.bytes as usize], content);
    }
}

#[test]
fn names_that_lead_out_links_and_devices_are_no_files() {
    let bytes = archive(|builder| {
        hostile(builder, EntryType::Regular, b"../../etc/up.jpg", b"x");
        hostile(builder, EntryType::Regular, b"/etc/root.jpg", b"x");
        let mut link = header(EntryType::Symlink, 0);
        builder.append_link(&mut link, "link.jpg", "/etc/passwd").unwrap();
        let mut link = header(EntryType::Link, 0);
        builder.append_link(&mut link, "hard.jpg", "one.jpg").unwrap();
        hostile(builder, EntryType::Char, b"device.jpg", b"");
        hostile(builder, EntryType::Fifo, b"pipe.jpg", b"");
    });
    let found: Vec<(String, MemberKind)> =
        members(&bytes).unwrap().into_iter().map(|member| (member.name, member.kind)).collect();
    let other = |name: &str, problem| (name.to_owned(), MemberKind::Other(problem));
    assert_eq!(
        found,
        [
            other("../../etc/up.jpg", "has a name that leads out of the archive"),
            ("etc/root.jpg".to_owned(), MemberKind::File),
            other("link.jpg", "is a link"),
            other("hard.jpg", "is a link"),
            other("device.jpg", "is no regular file"),
            other("pipe.jpg", "is no regular file"),
        ]
    );
    assert!(is_hidden("a/._x.jpg") && is_hidden(".git/x") && !is_hidden("../x.jpg"));
}

#[test]
fn a_tar_that_was_cut_off_is_told_wherever_the_cut_is() {
    let bytes = archive(|builder| {
        file(builder, "a.jpg", &[1; 3000]);
        file(builder, "b.jpg", &[2; 700]);
    });
    // 512 + 3072 and 512 + 1024 bytes, then the end: a block more or less of it makes no difference.
    members(&bytes[..5120 + 512]).unwrap();
    for cut in [1, 100, 511, 1000, 3584 + 10, 3584 + 600, 5119] {
        let message = message(&bytes[..cut]);
        assert!(message.contains("cut off") || message.contains("damaged"), "{cut}: {message}");
    }
    let message_at = |cut: usize| message(&bytes[..cut]);
    assert!(message_at(1000).contains("`a.jpg` has 3000 bytes at 512"), "{}", message_at(1000));
    // Between two members everything looks whole but for the end.
    for cut in [3584, 5120] {
        assert!(message_at(cut).contains("without the block of zeros"), "{}", message_at(cut));
    }
    assert!(message(&[]).contains("without the block of zeros"));
}

#[test]
fn a_damaged_header_is_told_with_its_place() {
    let mut bytes = archive(|builder| {
        file(builder, "a.jpg", &[1; 3000]);
        file(builder, "b.jpg", &[2; 700]);
    });
    bytes[3584 + 3] ^= 1;
    let message = message(&bytes);
    assert!(message.contains("checksum") && message.contains("near byte 4096"), "{message}");
}

#[test]
fn sizes_beyond_the_file_are_refused_before_anything_is_read() {
    for bytes in [1 << 33, u64::MAX / 2, u64::MAX - 600, u64::MAX] {
        let tar = archive(|builder| {
            let mut header = header(EntryType::Regular, 0);
            header.set_path("giant.jpg").unwrap();
            header.set_size(bytes);
            header.set_cksum();
            builder.append(&header, &[][..]).unwrap();
        });
        let message = message(&tar);
        assert!(message.contains("cut off") || message.contains("size overflow"), "{message}");
    }
}

#[test]
fn a_sparse_member_is_not_taken_for_the_bytes_that_it_stands_for() {
    let mut header = header(EntryType::GNUSparse, 512);
    header.set_path("sparse.jpg").unwrap();
    let gnu = header.as_gnu_mut().unwrap();
    gnu.sparse[0].offset.copy_from_slice(b"77777777000\0");
    gnu.sparse[0].numbytes.copy_from_slice(b"00000001000\0");
    gnu.realsize.copy_from_slice(b"100000000000"); // 8 GiB
    header.set_cksum();
    let tar = archive(|builder| {
        builder.append(&header, &[5; 512][..]).unwrap();
        file(builder, "next.jpg", b"next");
    });
    let found = members(&tar).unwrap();
    assert_eq!(found[0].kind, MemberKind::Other("is a sparse file"));
    assert_eq!((found[1].name.as_str(), found[1].bytes), ("next.jpg", 4));
}

#[test]
fn a_name_of_gigabytes_does_not_fill_the_memory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.tar");
    let mut long = header(EntryType::GNULongName, 64 << 30);
    long.set_path("././@LongLink").unwrap();
    long.set_cksum();
    let mut out = fs::File::create(&path).unwrap();
    out.write_all(long.as_bytes()).unwrap();
    out.set_len(65 << 30).unwrap(); // takes no room on the disk
    let archive = Archive::open(&path).unwrap();
    let error = archive.members_within(archive.range(), &mut |_, _| Ok(())).unwrap_err();
    assert!(error.to_string().contains("names and extensions"), "{error}");
}

#[test]
fn a_tar_inside_a_tar_is_read_where_it_lies() {
    let inner = archive(|builder| {
        file(builder, "x.jpg", b"inner x");
        file(builder, "y.jpg", b"inner y");
    });
    let outer = archive(|builder| {
        file(builder, "before.txt", &[0; 1234]);
        file(builder, "cat.tar", &inner);
        file(builder, "after.txt", b"after");
    });
    let mut on_disk = tempfile::NamedTempFile::new().unwrap();
    on_disk.write_all(&outer).unwrap();
    let archive = Archive::open(on_disk.path()).unwrap();
    let tar = members(&outer).unwrap().remove(1);
    let mut contents = Vec::new();
    archive
        .members_within(tar.offset..tar.offset + tar.bytes, &mut |member, content| {
            let mut text = String::new();
            content.read_to_string(&mut text).unwrap();
            let there = &outer[member.offset as usize..][..member.bytes as usize];
            assert_eq!(text.as_bytes(), there);
            contents.push((member.name, text));
            Ok(())
        })
        .unwrap();
    let pair = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    assert_eq!(contents, [pair("x.jpg", "inner x"), pair("y.jpg", "inner y")]);
    // Cut off inside of the outer one.
    let cut = archive.members_within(tar.offset..tar.offset + 600, &mut |_, _| Ok(()));
    assert!(cut.unwrap_err().to_string().contains("cut off"));
}
