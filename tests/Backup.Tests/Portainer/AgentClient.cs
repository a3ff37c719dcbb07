using System.Net;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Backup.Tests.Portainer;

/// <summary>A plain client of an agent, written from the reference alone, so that the rig is not judged by the code it judges.</summary>
internal sealed class AgentClient(Uri url, string message = "Portainer-App") : IDisposable
{
    private readonly ECDsa _key = ECDsa.Create(ECCurve.NamedCurves.nistP256);

    private readonly HttpClient _http = new(new SocketsHttpHandler
    {
        SslOptions = { RemoteCertificateValidationCallback = (_, _, _, _) => true },
    }) { BaseAddress = url, Timeout = TimeSpan.FromSeconds(30) };

    public string PublicKey => Convert.ToHexStringLower(_key.ExportSubjectPublicKeyInfo());

    /// <summary>The key as Portainer keeps it.</summary>
    public string Pem => _key.ExportECPrivateKeyPem();

    public string Signature => Convert.ToBase64String(
        _key.SignHash(MD5.HashData(Encoding.UTF8.GetBytes(message)), DSASignatureFormat.IeeeP1363FixedFieldConcatenation)).TrimEnd('=');

    public Task<HttpResponseMessage> GetAsync(string path) => SendAsync(HttpMethod.Get, path);

    public Task<HttpResponseMessage> SendAsync(HttpMethod method, string path, HttpContent? content = null, Version? version = null, params (string Name, string Value)[] headers) =>
        SendAsync(PublicKey, Signature, method, path, content, version, headers);

    public Task<HttpResponseMessage> SendAsync(
        string? publicKey, string? signature, HttpMethod method, string path, HttpContent? content = null, Version? version = null, params (string Name, string Value)[] headers)
    {
        var request = new HttpRequestMessage(method, path)
        {
            Content = content, Version = version ?? HttpVersion.Version11, VersionPolicy = HttpVersionPolicy.RequestVersionExact,
        };
        if (publicKey is not null) request.Headers.TryAddWithoutValidation("X-PortainerAgent-PublicKey", publicKey);
        if (signature is not null) request.Headers.TryAddWithoutValidation("X-PortainerAgent-Signature", signature);
        foreach ((string name, string value) in headers) request.Headers.TryAddWithoutValidation(name, value);
        return _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
    }

    public static async Task<JsonNode> JsonAsync(HttpResponseMessage answer) => JsonNode.Parse(await answer.Content.ReadAsStringAsync())!;

    public static StringContent Json(JsonNode body) => new(body.ToJsonString(JsonSerializerOptions.Default), Encoding.UTF8, "application/json");

    public void Dispose()
    {
        _http.Dispose();
        _key.Dispose();
    }
}
