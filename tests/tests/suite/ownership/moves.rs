//! The moves of owner and thief, as requests.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use curfew_tests::account::register;
use curfew_tests::authenticator::Authenticator;
use curfew_tests::client::{Api, Household, SIGN_OUT_ALL, remember, unique};
use curfew_tests::inbox;
use curfew_tests::stack::{deploy_without_mail, stack};
use domain::ownership::factors::SETTLED_AFTER;
use domain::ownership::recovery::LOST_FACTOR_WAIT;
use domain::recognition::recognized_until;
use domain::verification::VERIFIED_FOR;
use domain::{AccountId, EmailAddress, Timestamp};
use runtime::Clock;
use serde_json::{Value, json};
use store::{Store, Tables, WriteOutcome};

use super::lines::{Account, Part};

/// Who moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    Owner,
    Thief,
}

/// A move that can be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    Claim,
    SignIn,
    SignInAlone,
    SignOutOthers,
    AddFactor,
    RemoveFactor,
    MakeCodes,
    LoseFactor,
    ChangeAddress,
    Press,
    Recover,
    ChangePassword,
}

/// A deployment, with mail or without.
#[derive(Clone)]
struct Deployment {
    api: Api,
    tables: Tables,
    has_mail: bool,
}

/// The deployments on the local AWS.
pub struct Deployments([Deployment; 2]);

impl Deployments {
    /// Returns the running stack, and a second one that sends no mail.
    pub async fn new() -> Self {
        let with_mail = Deployment {
            api: Api::default(),
            tables: stack().tables.clone().into(),
            has_mail: true,
        };
        let (url, tables) = Box::pin(deploy_without_mail()).await.unwrap();
        let without_mail = Deployment {
            api: Api::at(&url),
            tables,
            has_mail: false,
        };
        Self([with_mail, without_mail])
    }

    fn of(&self, account: Account) -> Deployment {
        self.0[usize::from(account == Account::NoMail)].clone()
    }
}

#[derive(Clone)]
struct App {
    account: AccountId,
    id: String,
    secret: String,
}

/// What a player has.
struct Player {
    token: Option<String>,
    key: Option<String>,
    password: Option<String>,
    apps: Vec<App>,
    codes: Vec<String>,
    /// The addresses whose mail the player reads.
    reads: Vec<String>,
    /// An address that nobody else has.
    own: String,
}

/// A game about one account.
pub struct Game {
    deployment: Deployment,
    client: Client,
    store: Store,
    account: AccountId,
    /// The address of the account.
    address: String,
    is_factor_lost: bool,
    owner: Player,
    thief: Player,
}

fn is(answer: &Value, problem: &str) -> bool {
    answer["type"] == format!("urn:curfew:problem:{problem}")
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

impl Player {
    fn new() -> Self {
        let own = Household::unregistered().email;
        Self {
            token: None,
            key: None,
            password: None,
            apps: Vec::new(),
            codes: Vec::new(),
            reads: vec![own.clone()],
            own,
        }
    }

    fn kind_of_factor(&self) -> &'static str {
        match self.apps.first() {
            Some(_) => "totp",
            None => "recovery_code",
        }
    }
}

impl Game {
    /// Sets a line up: the account, and what the thief has of it. The owner has no session.
    pub async fn new(deployments: &Deployments, has: &[Part], account: Account) -> Self {
        let Household {
            email, password, ..
        } = Household::unregistered();
        let deployment = deployments.of(account);
        let client = stack().aws.clients().dynamodb();
        let store = Store::new(client.clone(), deployment.tables.clone());
        let now = Clock::System.now();
        let confirmed_at = (!has.contains(&Part::First)).then(|| now - SETTLED_AFTER);
        let registering = register(&store, &email, &password, confirmed_at, now);
        let account_id = Box::pin(registering).await.unwrap();
        let mut game = Self {
            deployment,
            client,
            store,
            account: account_id,
            address: email.clone(),
            is_factor_lost: account == Account::FactorLost,
            owner: Player::new(),
            thief: Player::new(),
        };
        let is_recognized = has.contains(&Part::Recognized);
        if is_recognized || has.contains(&Part::Session) {
            game.thief.password = Some(password.clone());
            assert!(game.plays(Who::Thief, Move::SignIn).await);
            let past = now - VERIFIED_FOR;
            let until = if is_recognized {
                recognized_until(now)
            } else {
                past
            };
            for name in ["signed_in_at", "verified_at"] {
                game.write_time(Who::Thief, name, past).await;
            }
            game.write_time(Who::Thief, "recognized_until", until).await;
        }
        game.owner.password = Some(password.clone());
        if matches!(account, Account::Factor | Account::FactorLost) {
            game.settle_factor_of_owner(has.contains(&Part::CodesAreKept))
                .await;
        }
        if has.contains(&Part::Factor) {
            game.thief.apps.append(&mut game.owner.apps);
        }
        if game.is_factor_lost {
            game.owner.apps.clear();
        }
        if has.contains(&Part::Codes) {
            game.thief.codes = game.owner.codes.clone();
        }
        game.thief.password = has.contains(&Part::Password).then_some(password);
        if account == Account::Forgot || has.contains(&Part::First) {
            game.owner.password = None;
        }
        if account == Account::NoMail {
            (game.owner.reads, game.thief.reads) = (Vec::new(), Vec::new());
        } else {
            game.owner
                .reads
                .extend((!has.contains(&Part::MailboxIsLost)).then(|| email.clone()));
            game.thief
                .reads
                .extend(has.contains(&Part::Mailbox).then_some(email));
        }
        game
    }

    /// Ends the hour in which the thief has the mailbox.
    pub fn ends_hour(&mut self) {
        self.thief.reads.retain(|it| *it == self.thief.own);
    }

    /// Adds an app of the owner, which has settled, and makes recovery codes.
    async fn settle_factor_of_owner(&mut self, with_codes: bool) {
        assert!(self.plays(Who::Owner, Move::SignIn).await);
        let now = Clock::System.now();
        self.write_time(Who::Owner, "verified_at", now).await;
        assert!(self.plays(Who::Owner, Move::AddFactor).await);
        assert!(!with_codes || self.plays(Who::Owner, Move::MakeCodes).await);
        let long_ago = now - SETTLED_AFTER * 2;
        let account = self.store.rows(self.account, &[]).await.unwrap().account;
        let account = account.unwrap();
        let mut factors = account.factors.clone();
        factors[0].added_at = long_ago;
        factors[0].notified_at = Some(long_ago);
        let recording = self.store.record_factor_notices(&account, &factors);
        assert_eq!(recording.await.unwrap(), WriteOutcome::Done);
        self.act(Who::Owner, "POST /v1/sign-out", "", None).await;
        (self.owner.token, self.owner.key) = (None, None);
    }

    fn of(&mut self, who: Who) -> &mut Player {
        match who {
            Who::Owner => &mut self.owner,
            Who::Thief => &mut self.thief,
        }
    }

    /// Writes a number into a row.
    async fn update(&self, table: &str, key: &[(&str, String)], name: &str, value: i64) {
        let mut update = self.client.update_item().table_name(table);
        for (name, id) in key {
            update = update.key(*name, AttributeValue::S(id.clone()));
        }
        let update = update.update_expression("SET #name = :value, last_write = :write");
        let update = update.expression_attribute_names("#name", name);
        let update = update
            .expression_attribute_values(":value", AttributeValue::N(value.to_string()))
            .expression_attribute_values(":write", AttributeValue::S("game".to_owned()));
        update.send().await.unwrap();
    }

    /// Writes a time into the row of a player's device.
    async fn write_time(&mut self, who: Who, name: &str, at: Timestamp) {
        let session = self.session(who).await.expect("a session");
        let key = ["account", "device"].map(|of| text(&session[of]["id"]).unwrap());
        let [account, device] = key;
        let key = [("account_id", account), ("device_id", device)];
        let table = &self.deployment.tables.devices;
        self.update(table, &key, name, at.as_millisecond()).await;
    }

    /// Sends a request, and returns the status and the body of the answer.
    async fn call(
        &self,
        route: &str,
        id: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> (u16, Value) {
        let (method, path) = route.split_once(' ').unwrap();
        let path = path.replace("{factor_id}", id);
        let mut call = self.deployment.api.call(method, &path);
        if let Some(token) = token {
            call = call.token(token);
        }
        if let Some(body) = body {
            call = call.json(body);
        }
        let answer = call.send().await;
        let status = answer.status;
        let answer: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        assert!(status < 500, "{route}: {answer}");
        assert_ne!(status, 429, "{route}: {answer}");
        assert!(!is(&answer, "request-invalid"), "{route}: {answer}");
        (status, answer)
    }

    /// Sends a request of a player's session, again with a proof if one is needed.
    async fn act(&mut self, who: Who, route: &str, id: &str, body: Option<Value>) -> Option<Value> {
        let token = self.of(who).token.clone()?;
        let mut answered = self.call(route, id, Some(&token), body.as_ref()).await;
        if is(&answered.1, "verification-required") {
            let token = Box::pin(self.verify(who, &answered.1["methods"])).await?;
            answered = self.call(route, id, Some(&token), body.as_ref()).await;
        }
        (answered.0 < 300).then_some(answered.1)
    }

    /// Proves by one of these methods what the player can prove. Returns the new token.
    async fn verify(&mut self, who: Who, methods: &Value) -> Option<String> {
        let token = self.of(who).token.clone()?;
        for method in methods.as_array()? {
            let mut body = json!({});
            for proof in method.as_array()? {
                let proof = proof.as_str()?;
                let given = match proof {
                    "password" => self.of(who).password.clone().map(Value::from),
                    "code" => {
                        let (route, to) = ("POST /v1/verification-codes", self.address.clone());
                        let subject = "Your code to confirm that it is you";
                        let asked = self.mailed(who, route, None, &to, subject).await;
                        asked.map(|(challenge, code)| {
                            body["challenge"] = challenge;
                            code
                        })
                    }
                    _ => self.factor(who, proof).await,
                };
                body[proof] = given.unwrap_or_default();
            }
            let is_whole = |body: &Value| !body.as_object().unwrap().values().any(Value::is_null);
            if is_whole(&body) {
                let route = "POST /v1/verifications";
                let (status, answer) = self.call(route, "", Some(&token), Some(&body)).await;
                if status == 200 {
                    self.of(who).token = text(&answer["token"]);
                    return text(&answer["token"]);
                }
            }
        }
        None
    }

    /// Returns a code of an app, or a recovery code, if the player has one.
    async fn factor(&mut self, who: Who, kind: &str) -> Option<Value> {
        if kind == "recovery_code" {
            return self.of(who).codes.pop().map(Value::from);
        }
        let App {
            account,
            id,
            secret,
        } = self.of(who).apps.first()?.clone();
        // A code works once in 30 seconds, for which nobody waits here.
        let key = [("account_id", account.to_string()), ("factor_id", id)];
        self.update(&self.deployment.tables.factors, &key, "last_step", 0)
            .await;
        Some(Authenticator::new(&secret).code().into())
    }

    /// Asks for a code to an address. Returns the challenge, and the code if the player reads
    /// the mail.
    async fn mailed(
        &mut self,
        who: Who,
        route: &str,
        body: Option<&Value>,
        to: &str,
        subject: &str,
    ) -> Option<(Value, Value)> {
        if !self.of(who).reads.iter().any(|it| it == to) {
            return None;
        }
        let token = self.of(who).token.clone();
        let before = inbox::wait_for_subject(to, subject, 0).await.len();
        let (mut status, mut answer) = self.call(route, "", token.as_deref(), body).await;
        if is(&answer, "verification-required") {
            let token = Box::pin(self.verify(who, &answer["methods"])).await?;
            (status, answer) = self.call(route, "", Some(&token), body).await;
        }
        if status != 202 {
            return None;
        }
        let mails = inbox::wait_for_subject(to, subject, before + 1).await;
        let code = inbox::code_in(mails.last()?)?;
        Some((answer["challenge"].clone(), code.into()))
    }

    /// Returns the account and the device of a player's session, if it is accepted.
    async fn session(&mut self, who: Who) -> Option<Value> {
        let token = self.of(who).token.clone()?;
        let (status, session) = self.call("GET /v1/session", "", Some(&token), None).await;
        (status == 200).then_some(session)
    }

    pub async fn is_signed_in(&mut self, who: Who) -> bool {
        self.session(who).await.is_some()
    }

    async fn account_of(&mut self, who: Who) -> Option<AccountId> {
        let session = self.session(who).await?;
        text(&session["account"]["id"])?.parse().ok()
    }

    /// Returns whether a player reads the mail to the account's address.
    pub fn reads_address(&self, who: Who) -> bool {
        let player = match who {
            Who::Owner => &self.owner,
            Who::Thief => &self.thief,
        };
        player.reads.contains(&self.address)
    }

    /// Makes a move. Returns whether it was done.
    pub async fn plays(&mut self, who: Who, what: Move) -> bool {
        let done = match what {
            Move::Claim => self.claim(who).await,
            Move::SignIn => self.sign_in(who, false).await,
            Move::SignInAlone => self.sign_in(who, true).await,
            Move::SignOutOthers => self.sign_out_others(who).await,
            Move::AddFactor => self.add_factor(who).await,
            Move::RemoveFactor => self.remove_factor(who).await,
            Move::MakeCodes => self.make_codes(who).await,
            Move::LoseFactor => self.lose_factor(who).await,
            Move::ChangeAddress => self.change_address(who).await,
            Move::Press => self.press(who).await,
            Move::Recover => self.recover(who).await,
            Move::ChangePassword => self.change_password(who).await,
        };
        done.is_some()
    }

    /// Confirms the address, which makes an account of it.
    async fn claim(&mut self, who: Who) -> Option<()> {
        let to = self.of(who).reads.last()?.clone();
        let (route, body) = ("POST /v1/accounts", json!({ "email": to }));
        let subject = "Confirm your address";
        let asked = self.mailed(who, route, Some(&body), &to, subject).await;
        let (challenge, code) = asked?;
        let password = new_password();
        let body = json!({ "challenge": challenge, "code": code, "password": password });
        let route = "POST /v1/accounts/confirmations";
        let (status, _) = self.call(route, "", None, Some(&body)).await;
        if status != 201 {
            return None;
        }
        self.of(who).password = Some(password);
        let email = EmailAddress::parse(&to).unwrap();
        let made = self.store.account_by_email(&email).await;
        (self.account, self.address) = (made.unwrap()?, to);
        Some(())
    }

    /// Signs in, with a factor or a pass if one is needed, and `alone` signs all others out.
    async fn sign_in(&mut self, who: Who, alone: bool) -> Option<()> {
        let (email, subject) = (self.address.clone(), "Your code to sign in");
        let mut body = json!({ "email": email, "password": self.of(who).password.clone()? });
        if let Some(key) = &self.of(who).key {
            body["device_key"] = json!(key);
        }
        if alone {
            body["sign_out"] = json!("others");
        }
        let reads = self.of(who).reads.contains(&email);
        let mut before = 0;
        if reads {
            before = inbox::wait_for_subject(&email, subject, 0).await.len();
        }
        let (mut status, mut answer) = self.call("POST /v1/login", "", None, Some(&body)).await;
        if is(&answer, "second-step-required") {
            let key = body.get("device_key").unwrap_or(&answer["device_key"]);
            let mut step = json!({
                "challenge": answer["challenge"], "device_key": key, "sign_out": body["sign_out"],
            });
            let kind = self.of(who).kind_of_factor();
            step[kind] = self.factor(who, kind).await?;
            let route = "POST /v1/second-steps";
            (status, answer) = self.call(route, "", None, Some(&step)).await;
        } else if is(&answer, "verification-required") && reads {
            let mails = inbox::wait_for_subject(&email, subject, before + 1).await;
            let code = inbox::code_in(mails.last()?)?;
            body["pass"] = json!({ "challenge": answer["challenge"], "code": code });
            (status, answer) = self.call("POST /v1/login", "", None, Some(&body)).await;
        }
        if status != 200 {
            return None;
        }
        let me = self.of(who);
        (me.token, me.key) = (text(&answer["token"]), text(&answer["device_key"]));
        Some(())
    }

    async fn sign_out_others(&mut self, who: Who) -> Option<()> {
        let (route, body) = (format!("POST {SIGN_OUT_ALL}"), json!({ "scope": "others" }));
        let done = self.act(who, &route, "", Some(body)).await;
        done.map(drop)
    }

    async fn add_factor(&mut self, who: Who) -> Option<()> {
        let body = json!({ "name": "App" });
        let begun = self.act(who, "POST /v1/factors", "", Some(body)).await?;
        let (id, secret) = (text(&begun["id"])?, text(&begun["secret"])?);
        let body = json!({ "totp": Authenticator::new(&secret).code() });
        let route = "POST /v1/factors/{factor_id}/confirmation";
        self.act(who, route, &id, Some(body)).await?;
        let account = self.account_of(who).await?;
        self.of(who).apps.push(App {
            account,
            id,
            secret,
        });
        Some(())
    }

    /// Removes every app that the player can't show.
    async fn remove_factor(&mut self, who: Who) -> Option<()> {
        let list = self.act(who, "GET /v1/factors", "", None).await?;
        let mut removed = None;
        for factor in list["factors"].as_array()? {
            let id = text(&factor["id"])?;
            if self.of(who).apps.iter().all(|app| app.id != id) {
                let route = "DELETE /v1/factors/{factor_id}";
                removed = Some(self.act(who, route, &id, None).await.map(drop)?);
            }
        }
        removed
    }

    async fn make_codes(&mut self, who: Who) -> Option<()> {
        let mut made = self.act(who, "POST /v1/recovery-codes", "", None).await?;
        self.of(who).codes = serde_json::from_value(made["codes"].take()).ok()?;
        Some(())
    }

    /// Reports the app as lost, if it is, at the second step of a sign-in. No line waits, so the
    /// request is then 72 hours old.
    async fn lose_factor(&mut self, who: Who) -> Option<()> {
        if !self.is_factor_lost {
            return None;
        }
        let email = self.address.clone();
        let body = json!({ "email": email, "password": self.of(who).password.clone()? });
        let (_, asked) = self.call("POST /v1/login", "", None, Some(&body)).await;
        let body = json!({
            "challenge": asked["challenge"].as_str()?, "device_key": asked["device_key"],
        });
        let (route, subject) = (
            "POST /v1/lost-factors",
            "Your code to remove a lost authenticator app",
        );
        let reported = self.mailed(who, route, Some(&body), &email, subject).await;
        let (challenge, code) = reported?;
        let body = json!({ "challenge": challenge, "code": code });
        let route = "POST /v1/lost-factors/confirmations";
        let (status, _) = self.call(route, "", None, Some(&body)).await;
        if status != 202 {
            return None;
        }
        let key = [("account_id", self.account.to_string())];
        let at = (Clock::System.now() - LOST_FACTOR_WAIT).as_millisecond();
        let accounts = &self.deployment.tables.accounts;
        self.update(accounts, &key, "factors_lost_at", at).await;
        Some(())
    }

    async fn change_address(&mut self, who: Who) -> Option<()> {
        let session = self.session(who).await?;
        let own = Some(self.of(who).own.clone());
        let to = own.filter(|own| session["account"]["email"] != **own)?;
        let (route, body) = ("POST /v1/address-changes", json!({ "email": to }));
        let subject = "Your code for the new address";
        let asked = self.mailed(who, route, Some(&body), &to, subject).await;
        let (challenge, code) = asked?;
        let body = json!({ "challenge": challenge, "code": code });
        let route = "POST /v1/address-changes/confirmations";
        self.act(who, route, "", Some(body)).await?;
        // Who had the address before it was confirmed has another account.
        if self.account_of(who).await == Some(self.account) {
            self.address = to;
        }
        Some(())
    }

    /// Presses in the mailbox before a change. `None` if that only warns, by a mail to the new
    /// address.
    async fn press(&mut self, who: Who) -> Option<()> {
        let to = self.of(who).reads.last()?.clone();
        let subject = "The address of your account was changed";
        let mails = inbox::wait_for_subject(&to, subject, 1).await;
        let mail = &mails.last()?.body_text;
        let (_, secret) = mail.split_once("#/notice/")?;
        let (_, reference) = mail.split_once("Reference ")?;
        let body = json!({
            "secret": secret.split_whitespace().next()?,
            "action": "undo",
            "reference": reference.get(..6)?,
        });
        let (status, answer) = self
            .call("POST /v1/notices/actions", "", None, Some(&body))
            .await;
        assert_eq!(status, 200, "{answer}");
        if answer["held_until"].is_string() {
            let subject = "Someone objects to your new address";
            inbox::wait_for_subject(&self.address, subject, 1).await;
            return None;
        }
        assert!(answer["sign_out"].is_object(), "{answer}");
        self.address = to;
        Some(())
    }

    async fn recover(&mut self, who: Who) -> Option<()> {
        let email = self.address.clone();
        let (route, body) = ("POST /v1/password-resets", json!({ "email": email }));
        let subject = "Get back into your account";
        let asked = self.mailed(who, route, Some(&body), &email, subject).await;
        let (challenge, code) = asked?;
        let password = new_password();
        let mut body = json!({ "challenge": challenge, "code": code, "password": password });
        let route = "POST /v1/password-resets/confirmations";
        let (mut status, answer) = self.call(route, "", None, Some(&body)).await;
        if is(&answer, "factor-required") {
            let kind = self.of(who).kind_of_factor();
            body[kind] = self.factor(who, kind).await?;
            // A player with codes but no app has the app removed.
            body["remove_factors"] = json!(kind == "recovery_code");
            status = self.call(route, "", None, Some(&body)).await.0;
        }
        if status != 200 {
            return None;
        }
        self.of(who).password = Some(password);
        Some(())
    }

    /// Changes the password, and keeps this device if it can, else signs in again.
    async fn change_password(&mut self, who: Who) -> Option<()> {
        let (old, new) = (self.of(who).password.clone()?, new_password());
        let mut body = json!({
            "current_password": old, "new_password": new, "keep_current": true,
        });
        let route = "PUT /v1/password";
        let kept = self.act(who, route, "", Some(body.clone())).await;
        if kept.is_none() {
            body["keep_current"] = json!(false);
            self.act(who, route, "", Some(body)).await?;
        }
        self.of(who).password = Some(new);
        if kept.is_none() {
            self.sign_in(who, false).await;
        }
        Some(())
    }

    /// Asserts that a player has the account, and the other one no way in: neither a session nor
    /// a password.
    pub async fn is_held_by(&mut self, who: Who, line: &str) {
        let session = self.session(who).await;
        let session = session.unwrap_or_else(|| panic!("{line}: {who:?} is not signed in"));
        let account = session["account"].clone();
        assert_eq!(account["email"], json!(self.address), "{line}");
        assert!(
            !self.deployment.has_mail || self.reads_address(who),
            "{line}: {who:?} has no mail"
        );
        let other = match who {
            Who::Owner => Who::Thief,
            Who::Thief => Who::Owner,
        };
        let others = self.session(other).await;
        assert!(
            others.is_none_or(|it| it["account"]["id"] != account["id"]),
            "{line}: {other:?} is in"
        );
        for (player, is_right) in [(who, true), (other, false)] {
            let Some(password) = self.of(player).password.clone() else {
                assert!(!is_right, "{line}: {who:?} has no password");
                continue;
            };
            let body = json!({ "email": self.address, "password": password });
            let (_, answer) = self.call("POST /v1/login", "", None, Some(&body)).await;
            assert_eq!(
                !is(&answer, "credentials-invalid"),
                is_right,
                "{line}: {player:?}: {answer}"
            );
        }
    }
}

/// Returns a password that the rules accept.
fn new_password() -> String {
    let password = format!("seven violet lanterns {}", unique());
    remember(&[&password]);
    password
}
