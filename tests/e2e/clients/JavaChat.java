// Asks OpenAI with Java's own HttpClient, whose TLS is JSSE: `java JavaChat.java PROMPT`.

import java.io.FileInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

public class JavaChat {
    public static void main(String[] arguments) throws Exception {
        String body = """
            {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "%s"}]}
            """.formatted(arguments[0].replace("\\", "\\\\").replace("\"", "\\\""));
        HttpRequest request = HttpRequest.newBuilder()
            .uri(URI.create("https://api.openai.com/v1/chat/completions"))
            .header("content-type", "application/json")
            .POST(HttpRequest.BodyPublishers.ofString(body))
            .build();
        HttpClient client = HttpClient.newBuilder().sslContext(trusting()).build();
        System.out.println(client.send(request, HttpResponse.BodyHandlers.ofString()).body());
    }

    // Java takes no environment variable for certificates.
    private static SSLContext trusting() throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null);
        try (FileInputStream file = new FileInputStream(System.getenv("SSL_CERT_FILE"))) {
            CertificateFactory factory = CertificateFactory.getInstance("X.509");
            store.setCertificateEntry("authority", factory.generateCertificate(file));
        }
        TrustManagerFactory trust =
            TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        return context;
    }
}
