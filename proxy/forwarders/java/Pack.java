import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;

/** Packs the directory that it runs in: the manifest first, the rest by name, no times. */
public class Pack {
    public static void main(String[] arguments) throws Exception {
        Path manifest = Path.of("META-INF", "MANIFEST.MF");
        List<Path> files;
        try (Stream<Path> all = Files.walk(Path.of(""))) {
            files = all.filter(Files::isRegularFile)
                    .sorted((a, b) -> a.equals(manifest) ? -1 : b.equals(manifest) ? 1 : a.compareTo(b))
                    .collect(Collectors.toList());
        }
        try (OutputStream out = Files.newOutputStream(Path.of(arguments[0]));
                ZipOutputStream zip = new ZipOutputStream(out)) {
            for (Path file : files) {
                ZipEntry entry = new ZipEntry(file.toString().replace('\\', '/'));
                // The oldest time that the format can say, without a zone.
                entry.setTimeLocal(java.time.LocalDateTime.of(1980, 1, 1, 0, 0));
                zip.putNextEntry(entry);
                zip.write(Files.readAllBytes(file));
                zip.closeEntry();
            }
        }
    }
}
