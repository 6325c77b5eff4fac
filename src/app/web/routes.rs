//! Handles requests: the guard for all of them, and the action of each path. GET and HEAD change nothing.

use std::{rc::Rc, time::Duration};

use hyper::{
    HeaderMap, Method, Request as Asked, Response as Answer, StatusCode,
    body::{Body as _, Bytes, Incoming},
    header::{self, HeaderName, HeaderValue},
};
use serde_json::json;
use tokio::{sync::mpsc, time::timeout};

use super::{
    Site, SupervisorAnswer,
    access::{self, Door},
    data::{FRESH, SHARED, TaskAndLog},
    live::{self, NewsFilter},
    programs::{About, ask, look, processes},
    reply::{Body, PageError, PeerClosed, Reply, fixed, json_of, of_json, page, reply, status_of, stream},
};
use crate::{
    app::{show, time_expr::parse_when},
    io::sys,
    model::{
        client,
        error::ErrorKind,
        http::{self, Errors, Fields, Route},
        query::{Cursor, Filter, Query},
        stats::Summary,
        task::{Class, TaskId, TaskRef},
        web::{self, HistoryForm, LiveTask, Message, MetricFacts, Span, TaskView},
        wire::{Channel, Code, Command, Last, Request, Response, Targets, WireError},
    },
};

/// Maximum size of a request body, in bytes.
const LONGEST: usize = 1 << 20;
/// Time limit for receiving a request body.
const BODY_TIME: Duration = Duration::from_secs(30);
/// Time that a button waits for its action before the page says that it continues.
const BUTTON: Duration = Duration::from_secs(3);
/// Bytes of a program's log on a page, and at the start of a stream.
const TAIL: u64 = 64 << 10;
const TAIL_MOST: u64 = 1 << 20;
const TAIL_LEAST: u64 = 1 << 10;
/// Rows per page of the history.
const ROWS: usize = 50;
const ROWS_MOST: usize = 500;
/// Maximum number of runs on the page of a name.
const RUNS: usize = 100;
/// Maximum number of runs in a timeline, which are read in a tenth of a second, and its span in hours.
const TIMELINE: usize = 20_000;
const HOURS: i64 = 24;
const HOURS_MOST: i64 = 24 * 366;

/// Handles one request.
pub(super) async fn answer(site: &Rc<Site>, door: Door, left: PeerClosed, asked: Asked<Incoming>) -> Reply {
    let route = Route::of(asked.uri().path());
    let is_head = asked.method() == Method::HEAD;
    let errors = route.as_ref().map_or(Errors::Page, Route::errors);
    let done = match admit(site, door, &asked) {
        Ok(()) => act(site, route, left, asked).await,
        Err(failed) => Err(failed),
    };
    let counted = done.and_then(|reply| {
        let (head, body) = reply.into_parts();
        let full = || PageError::new(ErrorKind::Busy, "too many pending requests; try again later");
        site.on_the_way.count(body).map(|body| Answer::from_parts(head, body)).ok_or_else(full)
    });
    let mut reply = counted.unwrap_or_else(|failed| refuse(site, &failed, errors));
    let headers = reply.headers_mut();
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, web::POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // No referrer for other sites. Forms must send their origin to this one, which `no-referrer` would prevent.
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    for (name, value) in fixed {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if is_head {
        if let Body::Whole(bytes) = reply.body() {
            let len = HeaderValue::from(bytes.len());
            reply.headers_mut().insert(header::CONTENT_LENGTH, len);
        }
        *reply.body_mut() = Body::Whole(Bytes::new());
    }
    reply
}

fn text_of<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The guard: checks `Host` and the credentials.
fn admit(site: &Site, door: Door, asked: &Asked<Incoming>) -> Result<(), PageError> {
    let bad = |what: &str| PageError::new(ErrorKind::Usage, what);
    let mut hosts: Vec<&str> = vec![];
    for host in asked.headers().get_all(header::HOST) {
        hosts.push(host.to_str().map_err(|_| bad("the Host header is not text"))?);
    }
    match (hosts.len(), asked.version()) {
        (0, hyper::Version::HTTP_10) => {}
        (0, _) => return Err(bad("the Host header is missing")),
        (1, _) => {}
        _ => return Err(bad("more than one Host header")),
    }
    hosts.extend(asked.uri().authority().map(|authority| authority.as_str()));
    for host in hosts.into_iter().filter(|host| !(host.is_empty() && door == Door::Unix)) {
        let name = http::host_of(host).ok_or_else(|| bad("the Host header is not of the form name:port"))?;
        if !site.subject.gate.knows(door, name, &site.names) {
            let what = "unknown host name: use localhost, an IP address, or the name in the configuration";
            return Err(PageError::new(ErrorKind::Denied, what));
        }
    }
    let auth = asked.headers().get(header::AUTHORIZATION).and_then(|value| http::basic(value.as_bytes()));
    match site.subject.gate.lets_in(door, auth.as_ref()) {
        true => Ok(()),
        false => Err(PageError::new(ErrorKind::Unauthorized, "a user name and a password are required")),
    }
}

fn refuse(site: &Site, failed: &PageError, errors: Errors) -> Reply {
    let mut reply = match errors {
        Errors::Json => {
            let response = Response::failed(WireError::new(failed.code, failed.what.clone()));
            of_json(failed.status, &Response { status: failed.status.as_u16(), ..response }.to_line())
        }
        Errors::Text => {
            let line = Bytes::from(format!("{}\n", failed.what));
            reply(failed.status, "text/plain; charset=utf-8", Body::Whole(line))
        }
        Errors::Page => {
            let about = About::new(site, None);
            page(failed.status, web::error_page(&about.info(), failed.status.as_u16(), &failed.what))
        }
    };
    let headers = reply.headers_mut();
    if failed.status == StatusCode::UNAUTHORIZED {
        headers.insert(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Basic realm=\"taskwatcher\", charset=\"UTF-8\""),
        );
    }
    if let Some(allow) = failed.allow {
        headers.insert(header::ALLOW, HeaderValue::from_static(allow));
    }
    if failed.status == StatusCode::PAYLOAD_TOO_LARGE || failed.status == StatusCode::REQUEST_TIMEOUT {
        // The rest of the request is not read.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    reply
}

async fn act(
    site: &Rc<Site>,
    route: Option<Route>,
    left: PeerClosed,
    asked: Asked<Incoming>,
) -> Result<Reply, PageError> {
    let route = route.ok_or_else(|| PageError::missing("no such page"))?;
    let method = asked.method();
    if route.acts() && method != Method::POST {
        return Err(PageError::method("POST", "method not allowed: use POST"));
    }
    if !route.acts() && method != Method::GET && method != Method::HEAD {
        return Err(PageError::method("GET, HEAD", "method not allowed: use GET"));
    }
    let is_head = method == Method::HEAD;
    let fields = Fields::parse(asked.uri().query().unwrap_or_default());
    let about = About::new(site, site.noted(fields.get("m")));
    let good = |html| Ok(page(StatusCode::OK, html));
    match route {
        Route::Programs if site.subject.programs.is_some() => {
            let found = processes(site, None).await?;
            good(web::programs_page(&about.info(), &found))
        }
        Route::Programs | Route::Tasks => {
            let snapshot = site.data.snapshot(FRESH).await?;
            good(web::tasks_page(&about.info(), &snapshot.running))
        }
        Route::Tail => program_page(site, &fields, about).await,
        Route::History => history_page(site, &fields, &about).await,
        Route::Task(task) => task_page(site, &task, &about).await,
        Route::Name(name) => name_page(site, name, &about).await,
        Route::Timeline => timeline_page(site, &fields, about).await,
        Route::LogTail(name, channel) => {
            let answer = look(site, tail(name, channel, 0, true)).await?;
            Ok(log_stream(answer, limit_of(&fields), is_head, left))
        }
        Route::MainLogTail => {
            let answer = look(site, Command::Maintail { last: Last::Bytes(0), follow: true }).await?;
            Ok(log_stream(answer, limit_of(&fields), is_head, left))
        }
        Route::TaskLog(task) => task_log(site, &task, &fields, is_head, left).await,
        Route::Events => {
            let wanted = match fields.get("only") {
                "tasks" => NewsFilter::Tasks,
                "programs" => NewsFilter::Programs,
                _ => NewsFilter::All,
            };
            let events = if is_head { mpsc::channel(1).1 } else { live::events(site, wanted, left) };
            Ok(stream("text/event-stream", events))
        }
        Route::Style => Ok(reply(StatusCode::OK, "text/css; charset=utf-8", fixed(web::STYLE))),
        Route::Script => Ok(reply(StatusCode::OK, "text/javascript; charset=utf-8", fixed(web::SCRIPT))),
        Route::Icon => Ok(reply(StatusCode::OK, "image/svg+xml", fixed(web::ICON))),
        Route::Metrics => metrics(site).await,
        Route::ApiStatus => {
            let of = fields.given("name").map_or(Targets::All, |name| Targets::processes([name]));
            let (response, _) = ask(site, Request::new(Command::Status(of))).await?;
            Ok(wire(&response))
        }
        Route::ApiTasks => {
            let snapshot = site.data.snapshot(FRESH).await?;
            Ok(json_of(&json!({ "tasks": snapshot.json() })))
        }
        Route::ApiHistory => api_history(site, &fields).await,
        Route::ApiTask(task) => api_task(site, &task).await,
        Route::Action => action(site, asked).await,
        Route::Api => api(site, asked).await,
    }
}

/// Whether a program has this name. Pages link to the name before a run of it has ended.
async fn is_program(site: &Site, name: &str) -> Result<bool, PageError> {
    match site.subject.programs.is_some() {
        true => Ok(processes(site, None).await?.iter().any(|process| process.full_name() == name)),
        false => Ok(false),
    }
}

fn wire(response: &Response) -> Reply {
    let status = status_of(response.status);
    of_json(status, &response.to_line())
}

fn task_of(text: &str) -> Result<TaskRef, PageError> {
    match text.parse() {
        Ok(TaskRef::Remote(..)) | Err(_) => Err(PageError::missing("no such task")),
        Ok(task) => Ok(task),
    }
}

fn no_task(task: &TaskRef) -> PageError {
    PageError::missing(format!("no such task: {task}"))
}

fn lines_of<'a>(log: &'a Result<Vec<String>, &'static str>) -> Result<&'a [String], &'a str> {
    log.as_deref().map_err(|why| *why)
}

/// Returns the number of bytes of a log to begin with.
fn limit_of(fields: &Fields) -> u64 {
    fields.get("limit").trim().parse().unwrap_or(TAIL).clamp(TAIL_LEAST, TAIL_MOST)
}

fn tail(name: String, channel: Channel, bytes: u64, follow: bool) -> Command {
    Command::Tail { name, channel, last: Last::Bytes(bytes), offset: None, follow, run: None }
}

/// Returns the page with the end of a program's log.
async fn program_page(site: &Site, fields: &Fields, about: About) -> Result<Reply, PageError> {
    let name = fields.get("process");
    if name.is_empty() {
        return Err(PageError::missing("no process given: use /tail?process=NAME"));
    }
    let channel = match fields.get("channel") {
        "" => Channel::Stdout,
        word => http::channel_of(word).ok_or_else(|| PageError::missing("no such log"))?,
    };
    let limit = limit_of(fields);
    let answer = look(site, tail(name.to_owned(), channel, 0, true)).await;
    let found = processes(site, Some(name)).await?;
    let process = found.into_iter().next().ok_or_else(|| PageError::missing(format!("{name}: no such process")))?;
    let log = match answer {
        Ok((_, logs)) => Ok(logs.into_iter().next()),
        Err(failed) if failed.status == StatusCode::NOT_FOUND => Err(()),
        Err(failed) => return Err(failed),
    };
    let is_to_be = process.log_of(channel).is_some();
    let status = if log.is_ok() || is_to_be { StatusCode::OK } else { StatusCode::NOT_FOUND };
    // Done on the slow thread, because a mebibyte takes a while to read and to format.
    let html = site.data.slow(move |_| {
        let Ok(log) = log else {
            return Ok(web::program_log_page(&about.info(), &process, channel, None));
        };
        let (bytes, truncated) = log.map(|mut log| log.before(limit)).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        Ok(web::program_log_page(&about.info(), &process, channel, Some((&text, truncated))))
    });
    Ok(page(status, html.await?))
}

/// Returns a log as a stream, from `first` bytes before its end on. It is read as fast as the client reads.
fn log_stream((_, mut logs): SupervisorAnswer, first: u64, is_head: bool, left: PeerClosed) -> Reply {
    for log in &mut logs {
        log.offset = log.offset.saturating_sub(first);
    }
    let text = if is_head { mpsc::channel(1).1 } else { live::program_log(logs, left) };
    stream("text/plain; charset=utf-8", text)
}

/// Returns the submitted form of the history page, and its query, or `None` if a field is invalid.
fn history_of(fields: &Fields) -> (HistoryForm, Option<Query>) {
    let text = |name: &str| fields.get(name).to_owned();
    let limit = fields.get("limit").trim().parse().unwrap_or(ROWS).clamp(1, ROWS_MOST);
    let form = HistoryForm {
        name: text("name"),
        outcome: text("outcome"),
        since: text("since"),
        until: text("until"),
        user: text("user"),
        limit,
        after: text("after"),
        fault: None,
    };
    match query_of(&form) {
        Ok(query) => (form, Some(query)),
        Err(fault) => (HistoryForm { fault: Some(fault), ..form }, None),
    }
}

fn query_of(form: &HistoryForm) -> Result<Query, String> {
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let time = |name: &str, text: &str| match text.trim() {
        "" => Ok(None),
        text => parse_when(text, show::local(sys::now().wall))
            .map(Some)
            .map_err(|error| format!("invalid {name} {text:?}: {error}")),
    };
    let class = |word: &str| {
        let found = Class::ALL.into_iter().find(|class| class.as_str().eq_ignore_ascii_case(word));
        found.ok_or_else(|| format!("invalid outcome {word:?}: use ok, warnings, error or unknown"))
    };
    let words = form.outcome.split(',').map(str::trim).filter(|word| !word.is_empty());
    let after = match form.after.trim() {
        "" => None,
        text => Some(text.parse::<Cursor>().map_err(|error| format!("invalid cursor {text:?}: {error}"))?),
    };
    let filter = Filter {
        name: given(&form.name),
        results: words.map(class).collect::<Result<_, _>>()?,
        since: time("since", &form.since)?,
        until: time("until", &form.until)?,
        user: given(form.user.trim()),
    };
    Ok(Query { filter, limit: form.limit, after, offset: 0, reverse: false })
}

/// Reads the body of a request.
async fn body_of(asked: Asked<Incoming>) -> Result<Vec<u8>, PageError> {
    let too_much = || PageError::new(ErrorKind::TooLarge, "the request body is larger than 1 MiB");
    let mut body = asked.into_body();
    if body.size_hint().lower() > LONGEST as u64 {
        return Err(too_much());
    }
    let read = async {
        let mut bytes = vec![];
        while let Some(frame) = std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx)).await {
            let frame = frame.map_err(|_| PageError::new(ErrorKind::Usage, "the request body cannot be read"))?;
            bytes.extend_from_slice(frame.data_ref().map(|data| &data[..]).unwrap_or_default());
            if bytes.len() > LONGEST {
                return Err(too_much());
            }
        }
        Ok(bytes)
    };
    let late = || PageError::new(ErrorKind::SlowRequest, "the request body did not arrive in time");
    timeout(BODY_TIME, read).await.map_err(|_| late())?
}

fn kind_of(headers: &HeaderMap) -> &str {
    let kind = text_of(headers, &header::CONTENT_TYPE).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim()
}

/// Whether a browser sends this request because of a page of another site. Browsers send the origin of the page.
fn is_foreign(headers: &HeaderMap) -> bool {
    let host = text_of(headers, &header::HOST).unwrap_or_default();
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let other = origins.any(|origin| !origin.to_str().is_ok_and(|origin| http::is_same_origin(origin, host)));
    let site = text_of(headers, &HeaderName::from_static("sec-fetch-site"));
    other || site.is_some_and(|site| site != "same-origin" && site != "none")
}

fn foreign() -> PageError {
    PageError::new(ErrorKind::Denied, "the request came from a page of another site")
}

/// Answers with a page of the history.
async fn history_page(site: &Rc<Site>, fields: &Fields, about: &About) -> Result<Reply, PageError> {
    let (form, query) = history_of(fields);
    let found = match query {
        Some(query) => site.data.quick(move |desk| desk.history(&query)).await?,
        None => crate::model::query::Page { rows: vec![], next: None },
    };
    Ok(page(StatusCode::OK, web::history_page(&about.info(), &form, &found)))
}

/// Answers with the page of a task.
async fn task_page(site: &Rc<Site>, task: &str, about: &About) -> Result<Reply, PageError> {
    let task = task_of(task)?;
    let wanted = task.clone();
    let seen = site.data.quick(move |desk| desk.task(&wanted)).await?;
    let view = match &seen {
        None => return Err(no_task(&task)),
        Some(TaskAndLog::Live { task, feedback, log, .. }) => {
            TaskView::Live { task, feedback: feedback.as_ref(), log: lines_of(log) }
        }
        Some(TaskAndLog::Ended { row, log }) => {
            TaskView::Ended { row, feedback: row.feedback.as_ref(), log: lines_of(log) }
        }
    };
    Ok(page(StatusCode::OK, web::task_page(&about.info(), &view)))
}

/// Answers with the page of the tasks of one name.
async fn name_page(site: &Rc<Site>, name: String, about: &About) -> Result<Reply, PageError> {
    let asked = name.clone();
    let summary = site.data.slow(move |desk| desk.summary(&asked)).await?;
    let filter = Filter { name: Some(name.clone()), ..Filter::default() };
    let query = Query { filter, limit: RUNS, after: None, offset: 0, reverse: false };
    let recent = site.data.quick(move |desk| desk.history(&query)).await?;
    let snapshot = site.data.snapshot(FRESH).await?;
    let running: Vec<LiveTask> = snapshot.running.iter().filter(|live| live.task.name == name).cloned().collect();
    let summary = match summary {
        Some(summary) => summary,
        None if !running.is_empty() || is_program(site, &name).await? => Summary::none(&name),
        None => return Err(PageError::missing(format!("no ended run has the name {name:?}"))),
    };
    Ok(page(StatusCode::OK, web::name_page(&about.info(), &name, &summary, &recent.rows, &running)))
}

/// Answers with the timeline.
async fn timeline_page(site: &Rc<Site>, fields: &Fields, about: About) -> Result<Reply, PageError> {
    let hours = fields.get("hours").trim().parse().unwrap_or(HOURS).clamp(1, HOURS_MOST);
    let until = sys::now().wall.secs();
    let span = Span { from: until - hours * 3600, until };
    let snapshot = site.data.snapshot(SHARED).await?;
    // Done on the slow thread, because there may be many rows.
    let html = site.data.slow(move |desk| {
        let ended = desk.ended_since(span.from, TIMELINE)?;
        Ok(web::timeline_page(&about.info(), span, &ended, &snapshot.running))
    });
    Ok(page(StatusCode::OK, html.await?))
}

/// Answers with the log of a task, which is followed.
async fn task_log(
    site: &Rc<Site>,
    task: &str,
    fields: &Fields,
    is_head: bool,
    left: PeerClosed,
) -> Result<Reply, PageError> {
    let task = task_of(task)?;
    let wanted = task.clone();
    let found = site.data.quick(move |desk| desk.log(&wanted)).await?;
    let found = found.ok_or_else(|| PageError::missing(format!("task {task} has no log")))?;
    if found.live.is_none() && !found.path.exists() {
        return Err(PageError::missing(format!("the log of task {task} is gone")));
    }
    let logs = match is_head {
        true => mpsc::channel(1).1,
        false => live::task_log(site, found, limit_of(fields), left),
    };
    Ok(stream("text/plain; charset=utf-8", logs))
}

/// Answers with the metrics.
async fn metrics(site: &Rc<Site>) -> Result<Reply, PageError> {
    // Metrics of programs do not need a database.
    let snapshot = site.data.snapshot(SHARED).await.ok().filter(|snapshot| snapshot.there);
    let summaries = match &snapshot {
        Some(_) => site.data.slow(|desk| desk.sums()).await.ok(),
        None => None,
    };
    let tasks = snapshot.as_deref().zip(summaries.as_deref());
    let tasks = tasks.map(|(snapshot, summaries)| (summaries.as_slice(), snapshot.running.as_slice()));
    let processes = match site.subject.programs.is_some() {
        true => processes(site, None).await?,
        false => vec![],
    };
    let now = sys::now().wall.secs();
    let facts = MetricFacts { tasks, processes: &processes, now };
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(reply(StatusCode::OK, kind, Body::Whole(web::metrics(&facts).into())))
}

/// Answers with a page of the history as JSON.
async fn api_history(site: &Rc<Site>, fields: &Fields) -> Result<Reply, PageError> {
    let (form, query) = history_of(fields);
    let Some(query) = query else {
        return Err(PageError::new(ErrorKind::Usage, form.fault.unwrap_or_default()));
    };
    let found = site.data.quick(move |desk| desk.history(&query)).await?;
    let next = found.next.map(|cursor| cursor.to_string());
    Ok(json_of(&json!({ "rows": found.rows, "next": next })))
}

/// Answers with a task as JSON.
async fn api_task(site: &Rc<Site>, task: &str) -> Result<Reply, PageError> {
    let task = task_of(task)?;
    let wanted = task.clone();
    let seen = site.data.quick(move |desk| desk.task(&wanted)).await?;
    let (mut value, log) = match seen {
        None => return Err(no_task(&task)),
        Some(TaskAndLog::Live { json, log, .. }) => (json, log),
        Some(TaskAndLog::Ended { row, log }) => (show::ended_json(&row), log),
    };
    value["lastlines"] = log.unwrap_or_default().into();
    Ok(json_of(&value))
}

/// Carries out the action of a button, and redirects to the page with the result.
async fn action(site: &Rc<Site>, asked: Asked<Incoming>) -> Result<Reply, PageError> {
    if is_foreign(asked.headers()) {
        return Err(foreign());
    }
    if kind_of(asked.headers()) != "application/x-www-form-urlencoded" {
        return Err(PageError::new(
            ErrorKind::ContentType,
            "the content type must be application/x-www-form-urlencoded",
        ));
    }
    let bytes = body_of(asked).await?;
    let fields = Fields::parse(&String::from_utf8_lossy(&bytes));
    let Some(token) = &site.token else {
        return Err(PageError::new(ErrorKind::Denied, "this page is read-only"));
    };
    if !access::is_same(token, fields.get("token")) {
        let what = "the form has expired: go back, reload the page and try again";
        return Err(PageError::new(ErrorKind::Denied, what));
    }
    let (name, mut back) = (fields.get("name"), "/".to_owned());
    let bad = |what: &str| PageError::new(ErrorKind::Usage, what);
    let said = match fields.get("action") {
        "" => return Err(bad("the form has no action")),
        "kill" => {
            let Ok(TaskRef::Id(TaskId(id))) = name.parse() else { return Err(bad("the form has no valid task")) };
            back = format!("/task/{id}");
            site.data.slow(move |desk| Ok(desk.kill(id))).await?
        }
        action => {
            let of = match name {
                "" => return Err(bad("the form has no process")),
                "all" => Targets::All,
                name => Targets::processes([name]),
            };
            let command = match action {
                "start" => Command::Start { of, until_settled: false },
                "stop" => Command::Stop { of, now: false },
                "restart" => Command::Restart(of),
                "clear" => Command::Clear(of),
                _ => return Err(bad("unknown action")),
            };
            let request = Request { timeout: Some(BUTTON), ..Request::new(command.clone()) };
            let (response, _) = ask(site, request).await?;
            let (failed, done) = client::failed_and_done(&command, &response);
            Message::of(&failed, &done)
        }
    };
    let wanted = fields.get("back");
    let is_path = |path: &str| {
        let plain = path.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\?#".contains(&byte));
        plain && Route::of(path).is_some_and(|route| !route.acts())
    };
    if is_path(wanted) {
        wanted.clone_into(&mut back);
    }
    if let Some(id) = site.note(said) {
        back = format!("{back}?m={id}");
    }
    let mut reply = page(StatusCode::SEE_OTHER, String::new());
    let place = HeaderValue::from_str(&back).map_err(|_| bad("the form has an invalid address to return to"))?;
    reply.headers_mut().insert(header::LOCATION, place);
    Ok(reply)
}

/// Handles a request as on the socket. A page must send the token. A program sends the content type JSON, which a page
/// of another site cannot send without a preflight, and browsers always send the origin.
async fn api(site: &Rc<Site>, asked: Asked<Incoming>) -> Result<Reply, PageError> {
    let headers = asked.headers();
    if is_foreign(headers) {
        return Err(foreign());
    }
    let shown = headers.get("x-token").and_then(|value| value.to_str().ok());
    let has_token = site.token.as_deref().zip(shown).is_some_and(|(token, shown)| access::is_same(token, shown));
    let is_page = headers.contains_key(header::ORIGIN) || headers.contains_key("sec-fetch-site");
    if !has_token && is_page {
        return Err(PageError::new(ErrorKind::Denied, "a page must send its token in the X-Token header"));
    }
    if !has_token && kind_of(headers) != "application/json" {
        return Err(PageError::new(ErrorKind::ContentType, "the content type must be application/json"));
    }
    let bytes = body_of(asked).await?;
    if site.subject.programs.is_none() {
        return Err(PageError::new(ErrorKind::Unsupported, "not available without a supervisor"));
    }
    let request = match Request::parse(&bytes) {
        Ok(request) => request,
        Err(response) => return Ok(wire(&response)),
    };
    let id = request.id.clone();
    let goes_on = match &request.command {
        Command::Tail { follow, .. } | Command::Maintail { follow, .. } => *follow,
        Command::Fg { .. } | Command::Subscribe(_) => true,
        _ => false,
    };
    if goes_on {
        let error = WireError::new(
            Code::Unsupported,
            "requests without end are not supported here: use the socket, GET /logtail or GET /events",
        );
        return Ok(wire(&Response::failed(error).with_id(id)));
    }
    let (response, _) = ask(site, request).await?;
    Ok(wire(&response.with_id(id)))
}
