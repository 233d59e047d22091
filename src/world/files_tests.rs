//! Files in, rows and problems out.

use super::*;

/// A folder with these files, read.
fn world(files: &[(&str, &str)]) -> (World, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let (world, problems) = read(&Files { folder: dir.path().to_owned(), ..Files::default() });
    let root = format!("{}/", dir.path().display());
    (world, problems.iter().map(|p| p.to_string().replace(&root, "")).collect())
}

#[test]
fn no_files_are_an_empty_world() {
    assert_eq!(world(&[]), (World::default(), Vec::new()));
    let (_, problems) = read(&Files { folder: "nowhere".into(), folder_named: true, ..Files::default() });
    assert!(problems[0].refused && problems[0].to_string().contains("nowhere: is no folder"), "{problems:?}");
    let (_, problems) = read(&Files { vaults: Some("no.csv".into()), ..Files::default() });
    assert!(problems[0].refused && problems[0].to_string().starts_with("no.csv: cannot be read"), "{problems:?}");
}

#[test]
fn a_directory_names_callers_by_either_id() {
    let text = "id,name,kind,owner,environment,cost_centre,app_id\n\
        AAAA,id-shop-prod,ManagedIdentity,Shop,,4711,BBBB\n\
        cccc,\"Dev, Anna\",user,,,,\n\
        dddd,scan,ServicePrincipal,,PRD,,\n";
    let (world, problems) = world(&[
        ("directory.csv", text),
        ("known.csv", "id,kind\nbbbb,scanner\neeee,backup\nDDDD,Scanner\n"),
        ("bait.csv", "kind,vault,name\nidentity,,ffff\n"),
    ]);
    assert_eq!(problems, Vec::<String>::new());
    let shown: Vec<_> = world
        .principals
        .iter()
        .map(|p| {
            let flags = (p.is_known_scanner, p.is_known_backup, p.is_bait);
            (p.principal_id.as_str(), p.name.as_deref(), p.kind.as_deref(), p.environment.as_deref(), flags)
        })
        .collect();
    let managed = Some("managed_identity");
    assert_eq!(
        shown,
        [
            ("aaaa", Some("id-shop-prod"), managed, Some("production"), (true, false, false)),
            ("bbbb", Some("id-shop-prod"), managed, Some("production"), (true, false, false)),
            ("cccc", Some("Dev, Anna"), Some("user"), None, (false, false, false)),
            ("dddd", Some("scan"), Some("application"), Some("production"), (true, false, false)),
            ("eeee", None, None, None, (false, true, false)),
            ("ffff", None, None, None, (false, false, true)),
        ]
    );
    assert_eq!(
        (world.principals[0].owner.as_deref(), world.principals[0].cost_centre.as_deref()),
        (Some("Shop"), Some("4711"))
    );
}

#[test]
fn a_vaults_environment_is_the_files_else_its_names_else_its_subscriptions() {
    let (world, problems) = world(&[
        ("subscriptions.csv", "subscription,name,environment\nS1,Contoso Production,\nS2,Hub,shared\n"),
        (
            "vaults.csv",
            "vault;sku;environment;owner;region;subscription;resource_group\n\
             KV-A-Dev;Premium;prod;Ann;WestEurope;S1;rg-a-test\nkv-b-dev;;;;;s1;rg-b-test\nkv-c;;;;;s1;RG-C-Test\n\
             kv-d;;;;;s1;rg-d\nkv-e;;;;;s2;\nkv-f;;;;;s3;\n",
        ),
        (
            "bait.csv",
            "kind,vault,name,note\nvault,kv-f,,\nvault,KV-Trap,,\nsecret,kv-a-dev,sa-password,planted\nobject,,admin,\n",
        ),
    ]);
    assert_eq!(problems, Vec::<String>::new());
    let shown: Vec<_> = world
        .vaults
        .iter()
        .map(|v| (v.vault_name.as_str(), v.environment.as_deref().unwrap_or("-"), v.is_bait))
        .collect();
    assert_eq!(
        shown,
        [
            ("kv-a-dev", "production", false),
            ("kv-b-dev", "development", false),
            ("kv-c", "test", false),
            ("kv-d", "production", false),
            ("kv-e", "shared", false),
            ("kv-f", "-", true),
            ("kv-trap", "-", true),
        ]
    );
    let first = &world.vaults[0];
    assert_eq!((first.sku.as_deref(), first.region.as_deref()), (Some("premium"), Some("westeurope")));
    let bait: Vec<_> = world
        .bait_objects
        .iter()
        .map(|b| (b.vault_name.as_deref(), b.object_type.as_deref(), b.object_name.as_str(), b.note.as_deref()))
        .collect();
    assert_eq!(bait, [(Some("kv-a-dev"), Some("secret"), "sa-password", Some("planted")), (None, None, "admin", None)]);
}

#[test]
fn lists_have_the_name_in_the_line_or_in_the_file() {
    let (world, problems) = world(&[
        (
            "addresses.csv",
            "list,address,trusted,note\nscanners,203.0.113.7,yes,Qualys\nCorporate-VPN,198.51.100.9/24,,\n",
        ),
        ("tor-exits.txt", "# as of today\n185.220.101.1\n2001:DB8::1 # an exit\n::ffff:192.0.2.1\n\n"),
        ("trusted-offices.txt", "192.0.2.0/25\r\n"),
    ]);
    assert_eq!(problems, Vec::<String>::new());
    let shown: Vec<_> =
        world.address_lists.iter().map(|r| (r.list.as_str(), r.cidr.0.to_string(), r.is_trusted)).collect();
    let expected = [
        ("scanners", "203.0.113.7/32", true),
        ("corporate-vpn", "198.51.100.0/24", true),
        ("tor-exits", "185.220.101.1/32", false),
        ("tor-exits", "2001:db8::1/128", false),
        ("tor-exits", "192.0.2.1/32", false),
        ("trusted-offices", "192.0.2.0/25", true),
    ];
    assert_eq!(shown, expected.map(|(list, cidr, trusted)| (list, cidr.to_owned(), trusted)));
    assert_eq!(world.address_lists[3].note.as_deref(), Some("an exit"));
}

#[test]
fn a_broken_line_is_told_and_the_good_ones_count() {
    let long = "x".repeat(2_000);
    for (name, text, good, expected) in [
        ("directory.csv", "id,name\n,nobody\na,A\n", 1, "directory.csv:2: has no 'id'"),
        ("directory.csv", "id,name\na,A\na,B\n", 1, "directory.csv:3: 'a' stands further up already"),
        ("directory.csv", "id,name\na,\"A\nb,B\n", 1, "directory.csv:2: a quote is not closed"),
        ("directory.csv", "id,name\na,A,x\nb,B\n", 1, "directory.csv:2: has 3 cells where the header has 2"),
        ("directory.csv", "id,name\nanna@contoso.com,A\nb,B\n", 1, "'anna@contoso.com' is a user name and no id"),
        ("directory.csv", "id,name\na b,A\nb,B\n", 1, "directory.csv:2: 'a b' is no id"),
        (
            "directory.csv",
            "id,nickname\nb,B\n",
            1,
            "directory.csv:1: column 'nickname' is not read; known are id, name",
        ),
        (
            "directory.csv",
            "name,kind\nA,user\n",
            0,
            "directory.csv: has no column 'id' in its first line and was not read",
        ),
        (
            "directory.csv",
            &format!("id,name\na,{long}\nb,B\n"),
            1,
            "directory.csv:2: has a cell of more than 1024 bytes",
        ),
        ("vaults.csv", "vault\nhttps://kv-a.vault.azure.net\nkv-b\n", 1, "is no name of a vault: give its name alone"),
        (
            "known.csv",
            "id,kind\na,friend\nb,backup\n",
            1,
            "known.csv:2: kind = 'friend' is not known: write scanner or",
        ),
        ("bait.csv", "kind,vault,name\nhoney,,x\nsecret,,y\n", 1, "bait.csv:2: kind = 'honey' is not known"),
        (
            "bait.csv",
            "kind,vault,name\nvault,,x\nsecret,,y\n",
            1,
            "bait.csv:2: has no 'vault', which bait of this kind",
        ),
        ("addresses.csv", "list,address\nt,10.0.0.0/33\nt,::1\n", 1, "addresses.csv:2: '10.0.0.0/33' is no address"),
        (
            "addresses.csv",
            "list,address,trusted\nt,::1,perhaps\nt,::2,no\n",
            1,
            "trusted = 'perhaps' is neither true nor",
        ),
        ("tor.txt", "1.2.3\n1.2.3.4\n", 1, "tor.txt:1: '1.2.3' is no address and no range: write 203.0.113.7"),
        ("direktory.csv", "id,name\n", 0, "direktory.csv: is not read; known are directory.csv, vaults.csv"),
    ] {
        let (world, problems) = world(&[(name, text)]);
        let rows = world.principals.len() + world.vaults.len() + world.bait_objects.len() + world.address_lists.len();
        assert_eq!(rows, good, "{name} {text}");
        assert!(problems.len() == 1 && problems[0].contains(expected), "{expected}: {problems:?}");
    }
}

#[test]
fn encodings_and_limits() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("directory.csv");
    let files = Files { folder: dir.path().to_owned(), ..Files::default() };
    let outcome = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let (world, problems) = read(&files);
        let refused = problems.iter().any(|p| p.refused);
        (world.principals.len(), refused, problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    };
    assert_eq!(outcome(b"\xef\xbb\xbfid,name\r\na,A\r\n"), (1, false, String::new()), "a byte order mark");
    assert_eq!(outcome(b"").0, 0);
    let (rows, refused, told) = outcome(b"id,name\na,\xff\nb,B\n");
    assert!(rows == 1 && !refused && told.contains("directory.csv:2: is no UTF-8"), "{told}");
    let (rows, refused, told) = outcome(b"\xff\xfei\0d\0\n\0");
    assert!(rows == 0 && refused && told.contains("is UTF-16 and was not read"), "{told}");
    let (rows, refused, told) = outcome("\n".repeat(1_000_002).as_bytes());
    assert!(rows == 0 && refused && told.contains("has more than 1000000 lines"), "{told}");
    let (rows, refused, told) = outcome(&vec![b'x'; (64 << 20) + 1]);
    assert!(rows == 0 && refused && told.contains("is larger than 64 MiB"), "{told}");
    // Many broken lines are a few messages.
    let (rows, refused, told) = outcome(format!("id,name\n{}ok,x\n", ",x\n".repeat(500)).as_bytes());
    assert!(rows == 1 && !refused && told.lines().count() == 11, "{told}");
    assert!(told.contains("490 more lines are broken too"), "{told}");
}
