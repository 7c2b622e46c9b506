// Java's own HttpClient, whose TLS is JSSE, without any SDK. Run from its source: java JavaChat.java

import java.io.FileInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

class JavaChat {
    /** Java takes no variable for certificates. */
    static SSLContext trusting(String path) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        try (FileInputStream file = new FileInputStream(path)) {
            int number = 0;
            for (var each : CertificateFactory.getInstance("X.509").generateCertificates(file)) {
                store.setCertificateEntry("authority" + number++, each);
            }
        }
        TrustManagerFactory trust =
            TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        return context;
    }

    public static void main(String[] questions) throws Exception {
        HttpClient client =
            HttpClient.newBuilder().sslContext(trusting(System.getenv("SSL_CERT_FILE"))).build();
        for (String question : questions) {
            HttpRequest request =
                HttpRequest.newBuilder(URI.create("https://api.openai.com/v1/chat/completions"))
                    .header("content-type", "application/json")
                    .header("authorization", "Bearer " + System.getenv("OPENAI_API_KEY"))
                    .POST(HttpRequest.BodyPublishers.ofString(question))
                    .build();
            System.out.println(
                client.send(request, HttpResponse.BodyHandlers.ofString()).body());
        }
    }
}
