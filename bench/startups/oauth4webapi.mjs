import * as oauth from "oauth4webapi"

const url = new URL("https://ehr.example.org/authorize")
url.searchParams.set("client_id", "growth-chart")
url.searchParams.set("redirect_uri", "https://app.example.org/callback")
url.searchParams.set("response_type", "code")
url.searchParams.set("scope", "launch/patient patient/*.rs")
url.searchParams.set("state", oauth.generateRandomState())
url.searchParams.set("code_challenge", await oauth.calculatePKCECodeChallenge(oauth.generateRandomCodeVerifier()))
url.searchParams.set("code_challenge_method", "S256")
