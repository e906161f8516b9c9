// The provider of the interop tests: panva's oidc-provider 9.x with everything switched on.
// Usage: node op.mjs '<json>'   or   OP_CONFIG=<file.json> node op.mjs
//   { port, host, issuer, issuerHost, tls: {key, cert, ca} (paths), clients: [..], accounts: {sub: claims},
//     jwks: {keys}, freshKeys: tag, features: {overrides}, ttl: {...}, dpopNonce: bool, fapiClients: [client_id],
//     stepUp: bool (who lacks the acr_values asked for signs in again, RFC 9470, and has the first of them then) }
// Prints ONE line of JSON on stdout when it listens: {"ready":true,"issuer":...,"port":...,"pid":...}
// Control plane (test only): GET {issuer}/_ctl/events, /_ctl/memory; POST /_ctl/reset, /_ctl/accounts ({sub: claims}),
//   /_ctl/clock ({ahead: seconds}: how far its clock is ahead of the machine's).
import * as http from 'node:http';
import * as https from 'node:https';
import * as fs from 'node:fs';
import * as crypto from 'node:crypto';
import { Provider, interactionPolicy, errors } from 'oidc-provider';

const cfg = JSON.parse(process.argv[2] ?? fs.readFileSync(process.env.OP_CONFIG, 'utf8'));
const host = cfg.host ?? '127.0.0.1';

// stdout carries the ready line and nothing else: whoever starts us need not drain it.
console.log = console.info = console.error;

// ---------- keys: one per algorithm family. keys.json holds private TEST keys that guard nothing: fixed, because
// making them takes half of the start. { freshKeys: "2" } makes new ones, for tests of key rotation by restart.
const fixedKeys = () => JSON.parse(fs.readFileSync(new URL('keys.json', import.meta.url), 'utf8')).keys;

function makeKeys(tag) {
  // Ask for PEM at generation and parse it again: on Node 20 exporting a freshly generated KeyObject as JWK
  // can deadlock for ever (garbage collection inside the export takes the same mutex; seen with 20.20.2).
  const jwk = (type, opts, extra) => {
    const { privateKey } = crypto.generateKeyPairSync(type, {
      ...opts, publicKeyEncoding: { type: 'spki', format: 'pem' }, privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    });
    return { ...crypto.createPrivateKey(privateKey).export({ format: 'jwk' }), ...extra };
  };
  return [
    jwk('rsa', { modulusLength: 2048 }, { kid: `rsa-${tag}`, use: 'sig' }),
    jwk('ec', { namedCurve: 'P-256' }, { kid: `es256-${tag}`, use: 'sig', alg: 'ES256' }),
    jwk('ec', { namedCurve: 'P-384' }, { kid: `es384-${tag}`, use: 'sig', alg: 'ES384' }),
    jwk('ec', { namedCurve: 'P-521' }, { kid: `es512-${tag}`, use: 'sig', alg: 'ES512' }),
    jwk('ed25519', {}, { kid: `ed-${tag}`, use: 'sig' }),
    jwk('rsa', { modulusLength: 2048 }, { kid: `rsa-enc-${tag}`, use: 'enc', alg: 'RSA-OAEP-256' }),
    jwk('ec', { namedCurve: 'P-256' }, { kid: `ec-enc-${tag}`, use: 'enc', alg: 'ECDH-ES' }),
  ];
}

const SIG = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'Ed25519', 'EdDSA'];
const HS = ['HS256', 'HS384', 'HS512'];
const ENC_ALG = ['RSA-OAEP', 'RSA-OAEP-256', 'ECDH-ES', 'ECDH-ES+A128KW', 'ECDH-ES+A256KW', 'A128KW', 'A256KW', 'A128GCMKW', 'A256GCMKW', 'dir'];
const ENC_ENC = ['A128CBC-HS256', 'A192CBC-HS384', 'A256CBC-HS512', 'A128GCM', 'A192GCM', 'A256GCM'];

// ---------- accounts
const accounts = new Map(Object.entries(cfg.accounts ?? {}));
const person = (sub) => accounts.get(sub) ?? {
  name: `${sub} Tester`, given_name: sub, family_name: 'Tester', preferred_username: sub,
  email: `${sub}@example.test`, email_verified: true, locale: 'en-GB',
  groups: ['staff', 'admins'], updated_at: 1700000000,
};

const events = [];
const note = (kind, data) => { events.push({ at: Date.now(), kind, ...data }); if (cfg.log) console.error(kind, JSON.stringify(data)); };

let ahead = 0; // milliseconds
const { now } = Date;
Date.now = () => now() + ahead;

const fapiClients = new Set(cfg.fapiClients ?? []);

const policy = interactionPolicy.base();
if (cfg.stepUp) {
  const { Check } = interactionPolicy;
  policy.get('login').checks.add(new Check('acr_values', 'none of the acr_values is met', ({ oidc }) => {
    const asked = oidc.params.acr_values?.split(' ') ?? [];
    return asked.length > 0 && !asked.includes(oidc.acr);
  }));
}

const configuration = {
  clients: cfg.clients ?? [],
  interactions: { policy },
  jwks: cfg.jwks ?? { keys: cfg.freshKeys ? makeKeys(cfg.freshKeys) : fixedKeys() },
  cookies: { keys: ['test-only-cookie-key'] },
  claims: {
    acr: null, auth_time: null, iss: null, sid: null, amr: null,
    openid: ['sub'],
    profile: ['name', 'given_name', 'family_name', 'preferred_username', 'locale', 'updated_at', 'picture'],
    email: ['email', 'email_verified'],
    groups: ['groups'],
    address: ['address'], phone: ['phone_number', 'phone_number_verified'],
  },
  scopes: ['openid', 'offline_access', 'api:read', 'api:write'],
  acrValues: ['urn:mace:incommon:iap:bronze', 'urn:mace:incommon:iap:silver', '0', '1'],
  subjectTypes: ['public', 'pairwise'],
  pairwiseIdentifier: (ctx, accountId, client) => crypto.createHash('sha256')
    .update(`${client.sectorIdentifier}|${accountId}|salt`).digest('hex'),
  conformIdTokenClaims: cfg.conformIdTokenClaims ?? true,
  responseTypes: ['code', 'id_token', 'id_token token', 'code id_token', 'code token', 'code id_token token', 'none'],
  clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'client_secret_jwt', 'private_key_jwt',
    'tls_client_auth', 'self_signed_tls_client_auth', 'none'],
  enabledJWA: {
    idTokenSigningAlgValues: [...SIG, ...HS],
    clientAuthSigningAlgValues: [...SIG, ...HS],
    requestObjectSigningAlgValues: [...SIG, ...HS],
    userinfoSigningAlgValues: [...SIG, ...HS],
    introspectionSigningAlgValues: [...SIG, ...HS],
    authorizationSigningAlgValues: [...SIG, ...HS],
    dPoPSigningAlgValues: SIG,
    ...Object.fromEntries(['idToken', 'requestObject', 'userinfo', 'introspection', 'authorization'].flatMap((k) => [
      [`${k}EncryptionAlgValues`, ENC_ALG], [`${k}EncryptionEncValues`, ENC_ENC]])),
  },
  features: {
    devInteractions: { enabled: true },
    pushedAuthorizationRequests: { enabled: true, requirePushedAuthorizationRequests: false },
    dPoP: {
      enabled: true, nonceSecret: crypto.randomBytes(32),
      requireNonce: () => Boolean(cfg.dpopNonce),
    },
    jwtResponseModes: { enabled: true },
    requestObjects: { enabled: true },
    rpInitiatedLogout: { enabled: true },
    backchannelLogout: { enabled: true },
    introspection: { enabled: true },
    jwtIntrospection: { enabled: true },
    revocation: { enabled: true },
    deviceFlow: { enabled: true },
    clientCredentials: { enabled: true },
    encryption: { enabled: true },
    userinfo: { enabled: true },
    jwtUserinfo: { enabled: true },
    claimsParameter: { enabled: true },
    registration: { enabled: true, initialAccessToken: false },
    registrationManagement: { enabled: true, rotateRegistrationAccessToken: false },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (ctx, indicator, client) => ({
        scope: 'api:read api:write',
        audience: indicator,
        accessTokenTTL: 600,
        accessTokenFormat: indicator.endsWith('/opaque') ? 'opaque' : 'jwt',
        jwt: { sign: { alg: 'ES256' } },
      }),
      useGrantedResource: () => true,
    },
    richAuthorizationRequests: {
      enabled: true,
      types: {
        payment_initiation: {
          validate(ctx, detail, client) {
            if (!detail.instructedAmount) throw new errors.InvalidAuthorizationDetails('instructedAmount is missing');
          },
        },
      },
      // policy of this test OP: what was granted on the consent page is what the code and the tokens carry
      authorizationDetailsForGrantSource: (ctx, source) => ctx.oidc.grant?.rar,
      authorizationDetailsForAccessToken: (ctx, token, source) => source?.rar,
      authorizationDetailsForIntrospection: (ctx, token) => token.rar,
    },
    mTLS: {
      enabled: true,
      certificateBoundAccessTokens: true,
      selfSignedTlsClientAuth: true,
      tlsClientAuth: true,
      getCertificate(ctx) {
        const peer = ctx.socket.getPeerX509Certificate?.();
        return peer ? peer.toString() : undefined;
      },
      certificateAuthorized: (ctx) => ctx.socket.authorized === true,
      certificateSubjectMatches(ctx, property, expected) {
        const x = ctx.socket.getPeerX509Certificate();
        if (property === 'tls_client_auth_subject_dn') {
          // node prints the subject with newlines, most specific RDN last; RFC 4514 wants it reversed
          return x.subject.split('\n').reverse().join(',') === expected || x.subject.split('\n').join(',') === expected;
        }
        if (property === 'tls_client_auth_san_dns') return (x.subjectAltName ?? '').split(', ').includes(`DNS:${expected}`);
        return false;
      },
    },
    ciba: {
      enabled: true,
      deliveryModes: ['poll', 'ping'],
      processLoginHint: (ctx, hint) => hint,
      processLoginHintToken: (ctx, token) => token,
      validateRequestContext() {},
      validateBindingMessage() {},
      verifyUserCode() {},
      async triggerAuthenticationDevice(ctx, request, account, client) {
        // the "phone" says yes after cibaDelay ms (or no, if the login_hint starts with "deny")
        setTimeout(async () => {
          try {
            if (account.accountId.startsWith('deny')) {
              await provider.backchannelResult(request, new errors.AccessDenied('the person said no'));
            } else {
              const grant = new provider.Grant({ clientId: client.clientId, accountId: account.accountId });
              grant.addOIDCScope(request.params.scope);
              await grant.save();
              await provider.backchannelResult(request, grant, { acr: '1', amr: ['pwd'], authTime: Math.floor(Date.now() / 1000) });
            }
            note('ciba.answered', { sub: account.accountId });
          } catch (e) { note('ciba.error', { message: e.message }); }
        }, cfg.cibaDelay ?? 300);
      },
    },
    fapi: { enabled: true, profile: (ctx, client) => (client && fapiClients.has(client.clientId) ? '2.0' : undefined) },
    ...(cfg.features ?? {}),
  },
  extraTokenClaims: async (ctx, token) => (token.kind === 'ClientCredentials' ? { machine: true } : undefined),
  async findAccount(ctx, sub) {
    if (sub.startsWith('nobody')) return undefined;
    return { accountId: sub, claims: async () => ({ sub, ...person(sub) }) };
  },
  rotateRefreshToken: cfg.rotateRefreshToken ?? true,
  issueRefreshToken: async (ctx, client, code) => client.grantTypeAllowed('refresh_token')
    && (code.scopes.has('offline_access') || cfg.alwaysRefresh === true),
  renderError: async (ctx, out) => { ctx.type = 'json'; ctx.body = JSON.stringify(out); },
  ttl: { AccessToken: 3600, AuthorizationCode: 60, IdToken: 3600, RefreshToken: 86400, Session: 86400, Grant: 86400, Interaction: 600, DeviceCode: 600, ClientCredentials: 600, BackchannelAuthenticationRequest: 600, ...(cfg.ttl ?? {}) },
  // oidc-provider refuses to call special-use addresses (its own guard against SSRF, an undici dispatcher);
  // everything here IS on loopback, so drop that dispatcher.
  fetch: (url, { dispatcher, ...options }) => globalThis.fetch(url, options),
  extraParams: cfg.extraParams ?? [],
};

const { tls } = cfg;
const scheme = tls ? 'https' : 'http';
let provider;

const handler = (req, res) => app(req, res);
const server = tls
  ? https.createServer({
    key: fs.readFileSync(tls.key), cert: fs.readFileSync(tls.cert),
    ca: tls.ca ? fs.readFileSync(tls.ca) : undefined,
    requestCert: true, rejectUnauthorized: false,
  }, handler)
  : http.createServer(handler);
let app;

server.listen(cfg.port ?? 0, host, () => {
  const { port } = server.address();
  const issuer = cfg.issuer ?? `${scheme}://${cfg.issuerHost ?? host}:${port}`;
  if (tls) {
    // same listener asks for a client certificate on every route, so the aliases are the same URLs
    configuration.discovery = { mtls_endpoint_aliases: Object.fromEntries(Object.entries({
      token_endpoint: '/token', userinfo_endpoint: '/me', pushed_authorization_request_endpoint: '/request',
      revocation_endpoint: '/token/revocation', introspection_endpoint: '/token/introspection',
      device_authorization_endpoint: '/device/auth' }).map(([k, p]) => [k, issuer + p])) };
  }
  provider = new Provider(issuer, configuration);
  for (const ev of ['authorization.error', 'authorization.success', 'grant.error', 'grant.success', 'grant.revoked', 'backchannel.error', 'backchannel.success',
    'server_error', 'userinfo.error', 'pushed_authorization_request.error', 'end_session.success', 'end_session.error', 'introspection.error',
    'revocation.error', 'registration_create.error', 'backchannel_authentication.error', 'device_authorization.error']) {
    provider.on(ev, (ctx, ...args) => {
      const e = args.find((x) => x instanceof Error);
      const client = ctx?.oidc?.client ?? args.find((x) => x?.clientId);
      note(ev, { client: client?.clientId, error: e?.error ?? e?.message, detail: e?.error_detail ?? e?.error_description });
    });
  }
  if (cfg.stepUp) {
    const finish = provider.interactionFinished.bind(provider);
    provider.interactionFinished = async (req, res, result, options) => {
      const { params } = await provider.interactionDetails(req, res);
      if (result.login) result.login.acr = params.acr_values?.split(' ')[0];
      return finish(req, res, result, options);
    };
  }
  const cb = provider.callback();
  app = (req, res) => {
    if (req.url.startsWith('/_ctl/')) return control(req, res);
    return cb(req, res);
  };
  process.stdout.write(`${JSON.stringify({ ready: true, issuer, port, pid: process.pid })}\n`);
});

function control(req, res) {
  const what = req.url.slice('/_ctl/'.length);
  let body = '';
  req.on('data', (c) => { body += c; });
  req.on('end', () => {
    const send = (o, code = 200) => { res.writeHead(code, { 'content-type': 'application/json' }); res.end(JSON.stringify(o)); };
    if (what === 'events') return send(events);
    if (what === 'reset') { events.length = 0; return send({ ok: true }); }
    if (what === 'accounts') { for (const [k, v] of Object.entries(JSON.parse(body))) accounts.set(k, v); return send({ ok: true }); }
    if (what === 'clock') { ahead = JSON.parse(body).ahead * 1000; return send({ ok: true }); }
    if (what === 'memory') return send(process.memoryUsage());
    return send({ error: 'unknown' }, 404);
  });
}
for (const sig of ['SIGTERM', 'SIGINT']) process.on(sig, () => { server.closeAllConnections(); server.close(() => process.exit(0)); });
