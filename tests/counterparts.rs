//! The table of counterparts has every name that it says it has, and no other.

use std::collections::BTreeSet;

/// The parameters of aiohttp 3.14.5, as `inspect.signature` gives them.
const CLIENT_SESSION: &str = "base_url connector loop cookies headers proxy proxy_auth
    skip_auto_headers auth json_serialize json_serialize_bytes request_class response_class
    ws_response_class version cookie_jar connector_owner raise_for_status read_timeout conn_timeout
    timeout auto_decompress trust_env requote_redirect_url trace_configs read_bufsize max_line_size
    max_field_size max_headers fallback_charset_resolver middlewares ssl_shutdown_timeout";
const REQUEST: &str = "method str_or_url params data json cookies headers skip_auto_headers auth
    allow_redirects max_redirects compress chunked expect100 raise_for_status read_until_eof proxy
    proxy_auth timeout verify_ssl fingerprint ssl_context ssl server_hostname proxy_headers
    trace_request_ctx read_bufsize auto_decompress max_line_size max_field_size max_headers
    middlewares upload_tracker";
const CONNECTORS: &str =
    "verify_ssl fingerprint use_dns_cache ttl_dns_cache dns_cache_max_size family
    ssl_context ssl local_addr resolver keepalive_timeout force_close limit limit_per_host
    enable_cleanup_closed loop timeout_ceil_threshold happy_eyeballs_delay interleave socket_factory
    ssl_shutdown_timeout path";
const CLIENT_TIMEOUT: &str = "total connect sock_read sock_connect ceil_threshold";

/// The public methods of reqwest 0.13.5's `async_impl`, of all features and platforms.
const CLIENT_BUILDER: &str =
    "new build user_agent default_headers cookie_store cookie_provider gzip
    brotli zstd deflate no_gzip no_brotli no_zstd no_deflate redirect referer retry proxy no_proxy
    timeout read_timeout connect_timeout connection_verbose pool_idle_timeout pool_max_idle_per_host
    http1_title_case_headers http1_allow_obsolete_multiline_headers_in_responses
    http1_ignore_invalid_headers_in_responses http1_allow_spaces_after_header_name_in_responses
    http1_max_headers http1_only http09_responses http2_prior_knowledge http3_prior_knowledge
    http2_initial_stream_window_size http2_initial_connection_window_size http2_adaptive_window
    http2_max_frame_size http2_max_header_list_size http2_keep_alive_interval
    http2_keep_alive_timeout http2_keep_alive_while_idle tcp_nodelay local_address interface
    tcp_keepalive tcp_keepalive_interval tcp_keepalive_retries tcp_user_timeout unix_socket
    windows_named_pipe tls_certs_merge tls_certs_only add_root_certificate tls_crls_only add_crl
    add_crls identity tls_danger_accept_invalid_hostnames danger_accept_invalid_hostnames
    tls_danger_accept_invalid_certs danger_accept_invalid_certs tls_sni tls_sslkeylogfile
    tls_version_min min_tls_version tls_version_max max_tls_version tls_backend_native
    use_native_tls tls_backend_rustls use_rustls_tls tls_backend_preconfigured use_preconfigured_tls
    tls_info https_only hickory_dns no_hickory_dns resolve resolve_to_addrs dns_resolver
    tls_early_data http3_max_idle_timeout http3_stream_receive_window http3_conn_receive_window
    http3_send_window http3_congestion_bbr http3_max_field_section_size http3_send_grease
    connector_layer";
const REQUEST_BUILDER: &str = "from_parts header headers basic_auth bearer_auth body timeout
    multipart query version form json build build_split send try_clone";

#[test]
fn each_argument_of_aiohttp_and_each_method_of_reqwest_has_one_row() {
    for (heading, names) in [
        ("`ClientSession`", CLIENT_SESSION),
        ("`ClientSession.request`, `get`, `post`, …", REQUEST),
        ("`TCPConnector` and `UnixConnector`", CONNECTORS),
        ("`ClientTimeout`", CLIENT_TIMEOUT),
        ("`ClientBuilder`", CLIENT_BUILDER),
        ("`RequestBuilder`", REQUEST_BUILDER),
    ] {
        let mut expected: BTreeSet<&str> = names.split_whitespace().collect();
        for name in names_of_rows(heading) {
            assert!(
                expected.remove(name),
                "{heading}: {name} is no name, or stands twice"
            );
        }
        assert!(expected.is_empty(), "{heading}: no row has {expected:?}");
    }
}

/// The names in the first column of the table under a heading.
fn names_of_rows(heading: &str) -> Vec<&'static str> {
    let source = include_str!("../src/counterparts.rs");
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    let lines = lines.skip_while(|line| line.strip_prefix(" ## ") != Some(heading));
    let lines = lines.skip(1).take_while(|line| !line.starts_with(" #"));
    let rows = lines.filter_map(|line| line.strip_prefix(" | `"));
    rows.flat_map(|row| {
        let (names, here) = row.split_once("` | ").expect("a row has two columns");
        assert!(here.len() > " |".len(), "{names} has nothing beside it");
        names.split("`, `")
    })
    .collect()
}
