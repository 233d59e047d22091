//! What environment a name tells: `kv-shop-prd-weu`, `kvprod01`, `Shop API (Test)`. For names that no file explains.

/// Words that stand for an environment by themselves.
const WORDS: &[(&str, &str)] = &[
    ("prod", PRODUCTION),
    ("prd", PRODUCTION),
    ("production", PRODUCTION),
    ("preprod", STAGING),
    ("preprd", STAGING),
    ("preproduction", STAGING),
    ("stg", STAGING),
    ("stage", STAGING),
    ("staging", STAGING),
    ("uat", STAGING),
    ("acceptance", STAGING),
    ("test", TEST),
    ("testing", TEST),
    ("tst", TEST),
    ("qa", TEST),
    ("sit", TEST),
    ("nonprod", TEST),
    ("nonprd", TEST),
    ("nonproduction", TEST),
    ("dev", DEVELOPMENT),
    ("devel", DEVELOPMENT),
    ("develop", DEVELOPMENT),
    ("development", DEVELOPMENT),
    ("devtest", DEVELOPMENT),
    ("sandbox", DEVELOPMENT),
    ("sbx", DEVELOPMENT),
    ("poc", DEVELOPMENT),
];

/// Words that tell even behind another one (`shopprod`): no other word ends like them. Longer ones stand first.
const ENDINGS: &[&str] = &[
    "nonproduction",
    "preproduction",
    "production",
    "nonprod",
    "nonprd",
    "preprod",
    "preprd",
    "prod",
    "prd",
    "staging",
    "stg",
    "tst",
    "development",
    "sandbox",
    "dev",
];

/// What names of resources are glued with: `kvtest`, `testkv`. Beside one of these every word tells.
const AFFIXES: &[&str] = &[
    "keyvault", "akv", "kv", "vault", "rg", "id", "uami", "mi", "msi", "spn", "sp", "app", "func", "fn", "aks", "vm",
    "api", "web", "svc", "sql", "db", "sub",
];

const PRODUCTION: &str = "production";
const STAGING: &str = "staging";
const TEST: &str = "test";
const DEVELOPMENT: &str = "development";

/// The environment that a name tells: `production`, `staging`, `test` or `development`.
///
/// A word of its own outweighs one that is glued to another, and the last of a kind outweighs those before it: names
/// go from what to where. User names (with an @) and GUIDs tell nothing: people have no environment.
pub fn environment_of(name: &str) -> Option<&'static str> {
    if name.contains('@') || is_guid(name) {
        return None;
    }
    let tokens = tokens(name);
    let lone = (0..tokens.len()).rev().find_map(|at| lone(&tokens, at));
    lone.or_else(|| tokens.iter().rev().find_map(|token| glued(token)))
}

/// The environment as a file states it: the common name where it is one of ours, else the file's own word.
pub(super) fn canonical(stated: &str) -> String {
    environment_of(stated).map_or_else(|| stated.trim().to_lowercase(), str::to_owned)
}

/// A token that is a word for an environment; `non` or `pre` before production turns it.
fn lone(tokens: &[String], at: usize) -> Option<&'static str> {
    let found = word(&tokens[at])?;
    let before = at.checked_sub(1).map(|before| tokens[before].as_str());
    Some(match (found, before) {
        (PRODUCTION, Some("non" | "no" | "not")) => TEST,
        (PRODUCTION, Some("pre")) => STAGING,
        _ => found,
    })
}

fn word(token: &str) -> Option<&'static str> {
    WORDS.iter().find(|(word, _)| *word == token).map(|(_, environment)| *environment)
}

fn glued(token: &str) -> Option<&'static str> {
    let ending = ENDINGS.iter().find(|ending| token.ends_with(**ending));
    ending.and_then(|ending| word(ending)).or_else(|| {
        AFFIXES.iter().find_map(|affix| {
            token.strip_prefix(affix).and_then(word).or_else(|| token.strip_suffix(affix).and_then(word))
        })
    })
}

/// Runs of letters in lower case: cut at everything else, and where a lower letter is followed by a capital.
fn tokens(name: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut token = String::new();
    let mut lower = false;
    for c in name.chars() {
        if !c.is_alphabetic() || (lower && c.is_uppercase()) {
            tokens.extend((!token.is_empty()).then(|| std::mem::take(&mut token)));
        }
        if c.is_alphabetic() {
            token.extend(c.to_lowercase());
        }
        lower = c.is_lowercase();
    }
    tokens.extend((!token.is_empty()).then_some(token));
    tokens
}

fn is_guid(text: &str) -> bool {
    text.len() == 36 && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_their_environment() {
        for (environment, names) in [
            (
                Some(PRODUCTION),
                "kv-shop-prod prod-kv-shop KV_SHOP_PRD kvprod01 kv01prod prod2 kv.production.weu shopprod prodkv rgprod \
                 /subscriptions/0/resourceGroups/RG-Shop-Prod ShopProd kv-devops-prod kv-testresults-prod kvProd dbprd2 \
                 prod-test-prod",
            ),
            (
                Some(STAGING),
                "kv-shop-stg stage-kv kv-staging uat-kv-1 kvuat kv-pre-prod preprodkv kvpreprod shopstaging KvStage \
                 preproduction kvstage2",
            ),
            (
                Some(TEST),
                "kv-test tst kvtst1 kv-qa-2 qakv testvault apptest kv-non-prod kvnonprod nonprod-kv nonproduction \
                 kv_sit_1 prod-test-runner",
            ),
            (
                Some(DEVELOPMENT),
                "kv-dev kvdev devkv shopdev01 kv-development sandbox kv-sbx-1 poc-kv devtest-kv webdev kv-prodcopy-dev",
            ),
            (
                None,
                "kv-shop product-catalog kv-products productkv latest-keys contest attestation device-keys devops-kv \
                 backstage reproduce producer kvprodigy squat kumquat protest prodops anna.prod@contoso.com \
                 test@dev.example testers ß - 42 sitemap iduatx",
            ),
        ] {
            for name in names.split_whitespace() {
                assert_eq!(environment_of(name), environment, "{name}");
            }
        }
        assert_eq!(environment_of(""), None);
        assert_eq!(environment_of("Shop API (Test)"), Some(TEST));
        assert_eq!(environment_of("dddddddd-dddd-dddd-dddd-dddddddddddd"), None);
    }

    #[test]
    fn what_a_file_states_gets_our_name_or_keeps_its_own() {
        for (stated, expected) in
            [("PROD", "production"), ("Pre-Prod", "staging"), (" Hub ", "hub"), ("Produktion", "produktion")]
        {
            assert_eq!(canonical(stated), expected);
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(name in "\\PC{0,40}") {
            environment_of(&name);
        }
    }
}
